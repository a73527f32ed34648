"""Training one configuration, epoch by epoch, on the device it is given; Ray is unknown here.

Holds: the training (`trial.Training`), what its network shows (`reading`), the six health figures and what they mean.
Imports: root, `spaces`, `datasets`, `tasks`, torch.
Hands out: one `EpochRow` per epoch, checkpoints, kinds of failure.
"""
