"""`python -m website.reference server` and `... dev`: each environment describes what it can import."""

import sys

from website.reference import GENERATED, commands, markdown


def parts(environment: str) -> dict[str, str]:
    """Markdown by the name that the pages use."""
    found = dict(commands.sections(environment))
    if environment == "server":
        from website.reference import metrics, signatures

        return found | metrics.parts() | {"signatures": signatures.all_models()}
    from website.reference import training

    smoke = commands.program("python -m training.smoke", "training.smoke:main")
    return found | {"commands-training": markdown.paragraphs(training.finetune(), training.distill(), smoke)}


def main(environment: str) -> None:
    """Write the parts; those of the other environment stay."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    for name, text in parts(environment).items():
        (GENERATED / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
