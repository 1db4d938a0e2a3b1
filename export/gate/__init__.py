"""The gate: a model and the reference logits come in; a `Report` goes out: may it be published, or why not.

Texts (`samples`) run alone and in batches (`answers`); `figures` compares the answers with torch's logits
(`reference`) and holds the limits; `divergence` finds the tensor where a bad model goes wrong.
Open `check.py` first, then `figures.py` for LIMITS.
"""
