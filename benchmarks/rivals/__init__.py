"""The rivals: a checkpoint comes in; something that answers in our place goes out.

The Flask app that this repository replaces (`flask_app`), the padded export on Triton (`padded_models`),
sessions without a server (`in_process`), OpenVINO (`openvino_encoder`), servers that people choose instead
(`chosen`, each in an environment of its own: `environments`). `published` has others' figures.
Open `flask_app.py` first.
"""
