"""What MLflow's and SageMaker's clients say, in JSON and as tables, and what they ask beside. Any thread."""
