"""Small models on a CPU, trained and read by kernels that numba compiles (extra `fast`).

`training_step` is what the trainer uses; under it `compiled_step`, what Python calls. `inference`
is what scoring uses, with `tree_attention`. Both are made of `block`, `head` and `attention`, the
model's parts, and these of `rows`, `tiles` and `turning`; `vectors` is a register as a value,
`arrays` the memory, `compiling` how numba is asked.
"""
