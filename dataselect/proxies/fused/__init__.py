"""The fused training step of small models on a CPU, compiled by numba (extra `fast`).

`training_step` is what the trainer uses. Under it: `compiled_step`, what Python calls; `block`,
`head` and `attention`, the model's parts; `rows`, `tiles` and `turning`, what they are made of;
`vectors`, a register as a value; `arrays`, the memory; `compiling`, how numba is asked.
"""
