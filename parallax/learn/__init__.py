"""Networks, losses, schedules, the method contract, the training loop and inference."""
