"""The second front: the same application on granian's HTTP server, in this process. The only importer of granian."""
