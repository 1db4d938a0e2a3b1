"""Publishing: models that passed come in; a new version in Triton's model repository goes out, or nothing.

`publish` writes the folders, `versions` and `turning` move the ensembles to them, `pins` and `signature` edit
config.pbtxt, `model_control` tells a running server. `generator` makes the configurations from `templates/`,
`seeding` puts them where they are missing, `stamp` knows whether somebody edited one.
`staleness` says whether there is anything to do.
Open `publish.py` first, then `turning.py` for what happens when it is interrupted.
"""
