"""What the daemon answers in the words of OpenAPI, and the document that is put together from it. Any thread."""
