"""With the network that comes with cbir all works where neither torch nor torchvision is, but for what draws."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import click
import pytest

from cbir.cli import cli
from tests.helpers.examples import CHECKOUT, DATASET
from tests.helpers.graph_files import write as write_detector
from tests.helpers.waiting import GUARD_SECONDS

#: A process that has neither: as where they are not installed, none can be imported and none is found.
WITHOUT = "import sys; sys.modules.update(torch=None, torchvision=None); from cbir.cli import main; main()"

BALLOON, OTHER = (DATASET / f"hot_air_balloons/hot_air_balloons_0{number}.jpg" for number in (4, 5))

#: Command lines in their order, and something that stdout says; {folder} is one of 36 pictures in classes.
COMMANDS = [
    ("index {folder} --parts --json", '"added": 36'),
    ("index {folder}", ""),
    (f"search {BALLOON} --index photos --format paths", "hot_air_balloons"),
    (f"search {BALLOON} --index photos --region 40,40,200,200 --sheet sheet.jpg --html page.html", "hot_air"),
    (f"search {BALLOON} --index photos --parts -k 3 --format json", "hot_air"),
    ("search --word balloon --index photos -k 3", "hot_air_balloons"),
    ("search --word mandolin --index photos -k 3", "/"),
    (f"locate {BALLOON} {OTHER}", '"box"'),
    (f"detect {BALLOON} --weights squares.onnx", '"objects"'),
    ("duplicates --index photos --format json", ""),
    (f"tags {BALLOON}", "balloon"),
    ("tags --index photos", "balloon"),
    ("words balloon --index photos --shown", '"pictures"'),
    ("learn kinds --from {folder} --index photos", "kinds: applied"),
    (f"search {BALLOON} --index photos --learnt kinds -k 3 --format paths", "hot_air_balloons"),
    ("classify --index photos --learnt kinds", "hot_air_balloons"),
    ("map --index photos --html map.html", "map.html"),
    (f"faces {BALLOON}", '"faces"'),
    ("index {folder} --index faces --faces", ""),
    ("people --index faces", ""),
    (f"segment {BALLOON} --out segments --classify", '"segments"'),
    (f"segment {BALLOON} --out fast --fast", '"segments"'),
    (f"explain {BALLOON} --index photos --html why.html --out why", '"way"'),
    ("units --channel 195 --class balloon --index photos", '"pictures"'),
    ("evaluate --index photos --format json", '"recall_at"'),
    ("info --verify", "sound      yes"),
    ("export rows.npy --index photos", "rows.npy"),
    ("import rows.npy --index copy", "copy: 36 pictures"),
    ("merge photos copy --index both", "both: 36 pictures"),
    ("models", "need torch: `pip install torch torchvision`"),
    ("models --all", "pip install torch torchvision"),
    ("models --fields efficientnet_lite0", "851"),
]

#: What needs torch, and what it is that needs it.
REFUSED = [
    ("index {folder} --index other --model resnet50", "The network 'resnet50'"),
    ("index {folder} --index other --model vgg16 --weights untrained", "The network 'vgg16'"),
    (f"segment {BALLOON} --out other --model mobilenet_v3_small", "The network 'mobilenet_v3_small'"),
    (f"detect {BALLOON} --model ssd300_vgg16 --weights untrained", "Converting ssd300_vgg16"),
    ("models --download resnet50", "The network 'resnet50'"),
    ("index {folder} --index other --engine torch", "The engine torch"),
    ("index {folder} --index other --model efficientnet_lite0 --weights untrained", "random weights"),
    ("imagine --class goldfish --out goldfish.png", "Imagining"),
    (f"stylise {BALLOON} --style {OTHER} --out styled.png", "Stylising"),
]


def test_the_light_requirements_are_those_of_setup_cfg_without_torch() -> None:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    needed = setup["options"]["install_requires"].split()
    light = (CHECKOUT / "requirements-light.txt").read_text(encoding="utf-8").splitlines()
    left_out = [one for one in needed if one.startswith(("torch>", "torchvision>"))]
    assert len(left_out) == 2
    assert [one for one in light if not one.startswith("#")] == [one for one in needed if one not in left_out]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/, 36 pictures in 12 classes."""
    parent = tmp_path_factory.mktemp("without")
    for source in sorted(DATASET.glob("*/*_0[1-3].jpg")):
        target = parent / "photos" / source.relative_to(DATASET)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    write_detector(parent / "squares.onnx", "yolox")
    return parent


def run(here: Path, line: str) -> subprocess.CompletedProcess[str]:
    arguments = line.format(folder=here / "photos").split()
    environment = {**os.environ, "CBIR_HOME": str(here / "indexes"), "XDG_CACHE_HOME": str(here / "cache")}
    command = [sys.executable, "-c", WITHOUT, *arguments]
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)


def test_every_command_works(here: Path) -> None:
    for line, expected in COMMANDS:
        done = run(here, line)
        assert done.returncode == 0, (line, done.stderr)
        assert expected in done.stdout, (line, done.stdout)
    # `serve` goes on until it is told to end, it has a test of its own; no drawn picture has a face; and what draws
    # needs gradients, which are torch's
    done = run(here, f"verify {BALLOON} {OTHER}")
    assert (done.returncode, "o face is found" in done.stderr) == (1, True), done.stderr
    assert {"serve", "verify", "imagine", "stylise", *(line.split()[0] for line, _ in COMMANDS)} == set(
        cli.list_commands(click.Context(cli))
    )
    assert len(list((here / "cache" / "cbir" / "compiled").glob("*.blob"))) >= 4  # none was found, all were built


def test_a_server_answers_by_the_network(here: Path) -> None:
    pytest.importorskip("fastapi", reason="cbir[serve] is not installed")
    index = f"{here / 'served'}/"
    assert run(here, f"index {{folder}} --index {index}").returncode == 0
    environment = {**os.environ, "CBIR_HOME": str(here / "indexes"), "XDG_CACHE_HOME": str(here / "cache")}
    command = [sys.executable, "-c", WITHOUT, "serve", "--port", "0", "--index", index]
    process = subprocess.Popen(command, cwd=here, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "http://" in line)
        address = said.partition("http://")[2].partition("/")[0]
        asked = urllib.request.Request(
            f"http://{address}/api/v1/indexes/served/search?word=balloon&count=3", headers={"Accept": "*/*"}
        )
        with urllib.request.urlopen(asked, timeout=GUARD_SECONDS) as answer:
            assert "hot_air_balloons" in json.load(answer)["matches"][0]["path"]
        parts = (b"--x\r\n", b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n')
        body = b"".join((*parts, BALLOON.read_bytes(), b"\r\n--x--\r\n"))
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        sent = urllib.request.Request(f"http://{address}/api/v1/indexes/served/encode", body, kind)
        with urllib.request.urlopen(sent, timeout=GUARD_SECONDS) as answer:
            assert json.load(answer)["dimension"] == 1280
    finally:
        process.terminate()
        process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize(("line", "what"), REFUSED)
def test_what_needs_torch_says_what_to_install(here: Path, line: str, what: str) -> None:
    done = run(here, line)
    assert done.returncode == 1
    (error,) = (one for one in done.stderr.splitlines() if one.startswith("Error: "))
    assert f"{what} needs torch and torchvision, which are not installed here: `pip install torch" in error
    assert (done.stdout, (here / "indexes" / "other").exists(), (here / "other").exists()) == ("", False, False)
    assert not (here / "cache" / "torch").exists()


def test_an_index_of_another_network_is_searched_by_what_it_knows(here: Path) -> None:
    from click.testing import CliRunner

    few = here / "few"
    few.mkdir()
    (few / "a.jpg").write_bytes(BALLOON.read_bytes())
    arguments = ["index", str(few), "--index", str(here / "indexes/few"), "--model", "squeezenet1_1"]
    made = CliRunner().invoke(cli, [*arguments, "--weights", "untrained"])
    assert made.exit_code == 0, made.output
    assert run(here, f"search {few}/a.jpg --index few").returncode == 0
    refused = run(here, f"search {OTHER} --index few --weights untrained")
    assert refused.returncode == 1
    assert "The network 'squeezenet1_1' needs torch and torchvision" in refused.stderr
    assert "sound      yes" in run(here, "info --index few --verify").stdout


def test_without_a_choice_the_network_is_one_that_can_be_had(here: Path) -> None:
    """resnet50 is preferred where its weights lie on the machine, but not where nothing can read them."""
    weights = here / "torch" / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    script = f"import os; os.environ['TORCH_HOME'] = {str(here / 'torch')!r}; {WITHOUT}"
    environment = {**os.environ, "XDG_CACHE_HOME": str(here / "cache"), "CBIR_HOME": str(here / "indexes")}
    command = [sys.executable, "-c", script, "tags", str(BALLOON)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "balloon" in done.stdout) == (0, True), done.stderr
