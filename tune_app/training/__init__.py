"""Training one configuration, epoch by epoch, on a given device; does not know Ray.

Holds: the training (`trial.Training`), measurements of its network (`reading`), the six health scores and their
meaning. Imports: root, `spaces`, `datasets`, `tasks`, torch.
Provides: one `EpochRow` per epoch, checkpoints, kinds of failure.
"""
