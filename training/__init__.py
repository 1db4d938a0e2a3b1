"""Training: labelled texts come in; a checkpoint's folder, which `export` reads, goes out.

Open `finetune.py` (steps: `fitting`) or `distill.py` (steps: `distilling`, `losses`, `loops`, `student`,
`teachers`). `tables/`, `data` and `labels` read what people train on; `corpus` and `long_texts` cut texts;
`checkpoint` writes the folder. `golden` and `ranges` write the two files in it that only `export` reads.
"""
