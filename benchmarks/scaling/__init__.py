"""What a fleet asks and how long it errs: predicted, simulated and measured."""
