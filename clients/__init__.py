"""What a participant runs: the task, local training, the signed contribution and the Flower ClientApp."""
