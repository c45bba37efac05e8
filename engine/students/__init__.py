"""The training process: model, objective, DeepSpeed loop, checkpoints, evaluation, export.

Only `spec` and `progress` may be imported by the daemon; every other module here may import torch,
transformers and deepspeed, and is imported by the training process alone.
"""
