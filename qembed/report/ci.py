"""A bench for continuous integration: JUnit's XML, and annotations for GitHub Actions."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from qembed.report.asked import asked, headline
from qembed.report.first import cautions
from qembed.report.stored import StoredBench


def bench_junit(bench: StoredBench) -> str:
    """One test case per gate, failed where the gate does; without gates, one that says the headline."""
    document = bench.document
    question = asked(bench)
    gates = document["gates"]
    suite = Xml.Element(
        "testsuite",
        name=f"{_made_by(bench)} {document['eval_set']['name']}",
        tests=str(max(len(gates), 1)),
        failures=str(sum(not gate["passed"] for gate in gates)),
        timestamp=document["created"],
        time=f"{document['seconds']:.3f}",
    )
    for gate in gates:
        case = Xml.SubElement(suite, "testcase", classname=gate["system"], name=gate["gate"])
        if not gate["passed"]:
            Xml.SubElement(case, "failure", message=_plain(gate["words"]))
    if not gates:
        words = _plain(headline(bench, question))
        Xml.SubElement(suite, "testcase", classname=_made_by(bench).partition(" ")[2], name=words)
    notes = [headline(bench, question), *cautions(bench, question)]
    Xml.SubElement(suite, "system-out").text = _plain("\n".join(notes))
    Xml.indent(suite)
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def bench_annotations(bench: StoredBench) -> list[str]:
    """Workflow commands of GitHub Actions: an error per failed gate, a warning per caution."""
    question = asked(bench)
    lines = [
        f"::error title={_property(gate['gate'])}::{_data(gate['words'])}"
        for gate in bench.document["gates"]
        if not gate["passed"]
    ]
    title = _made_by(bench)
    lines += [f"::warning title={title}::{_data(words)}" for words in cautions(bench, question)]
    return [*lines, f"::notice title={title}::{_data(headline(bench, question))}"]


def _made_by(bench: StoredBench) -> str:
    """The command; a bench did not say so before ``compare`` stored anything."""
    return f"qembed {bench.document.get('command', 'bench')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _plain(text: str) -> str:
    """Without control characters, which XML 1.0 does not have."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
