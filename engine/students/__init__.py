"""The training process: model, objective, DeepSpeed loop, checkpoints, evaluation, export.

These modules import nothing heavy and are for everyone: `spec`, `progress_file`, `launch`, `hosts`, `cluster`,
`run_commands`, `sizes`, `vocabulary`, `checkpoints`, `ranks`, `run`, `requirements` and `out_of_memory`. Every other module may import torch,
transformers and deepspeed, and only the training process imports it.
"""
