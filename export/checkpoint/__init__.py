"""Reading: a checkpoint's folder comes in, a `Checkpoint` in memory goes out, or a refusal with advice.

A checkpoint may come from anybody (`untrusted`): nothing is unpickled, and everything is checked before it is
used. Weights, adapters and tokenizers come in several forms of files; the result is the same. Nothing here
needs onnx.
Open `reading.py` first, then `config.py` for what a config.json may say, `labels.py` for id2label, and
`problem_types.py` for what each head answers.
"""
