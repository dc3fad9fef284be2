"""CIFAR in its binary version: every byte where it belongs, and what is missing or damaged is refused."""

import http.server
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import published
from weightgas import datasets
from weightgas.datasets import cifar
from weightgas.datasets.pixels import normalised

BOTH = pytest.mark.parametrize("name", ["cifar10", "cifar100"])


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Both data sets with few images, the published ones being elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(cifar.VARIABLE, raising=False)
    for attribute in ("CIFAR10", "CIFAR100"):
        monkeypatch.setattr(cifar, attribute, published.tiny(getattr(cifar, attribute)))
    return {"cifar10": cifar.CIFAR10, "cifar100": cifar.CIFAR100}


def set_to(monkeypatch, what):
    monkeypatch.setattr(cifar, what.name.upper(), what)
    return what


@BOTH
def test_every_byte_is_where_the_format_says(tiny, tmp_path, name):
    what = tiny[name]
    published.folder(what, tmp_path)
    images = datasets.named(name, tmp_path)
    assert (images.name, images.classes) == (name, {"cifar10": 10, "cifar100": 100}[name])
    assert images.inputs.shape == (20 * len(what.files), 3, 32, 32)
    # Read again, one byte at a time, as the page of the data set describes a record.
    record, width = 7, len(what.classes) + 3072
    last = published.contents(what)[what.files[-1]][record * width : (record + 1) * width]
    index = 20 * (len(what.files) - 1) + record
    assert images.labels[index] == last[len(what.classes) - 1]
    whole = np.concatenate([np.frombuffer(c, np.uint8).reshape(-1, width) for c in published.contents(what).values()])
    for channel, row, column in [(0, 0, 0), (1, 2, 3), (2, 31, 30)]:
        plane = whole[:, len(what.classes) :][:, 1024 * channel : 1024 * (channel + 1)].astype(float)
        pixel = last[len(what.classes) + 1024 * channel + 32 * row + column]
        expected = (pixel - plane.mean()) / plane.std()
        np.testing.assert_allclose(images.inputs[index, channel, row, column], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_published_test_half_is_normalised_like_the_training_half(tiny, tmp_path, name):
    what = tiny[name]
    published.folder(what, tmp_path / what.folder)
    images = datasets.named(name, tmp_path, test=True)
    width = 3072 + len(what.classes)
    tables = [np.frombuffer(c, np.uint8).reshape(-1, width) for c in published.both(what).values()]
    train, test = np.concatenate(tables[:-1]), tables[-1]
    red = train[:, -3072:-2048].astype(float)
    expected = (test[:, -3072:-2048] - red.mean()) / red.std()
    np.testing.assert_allclose(images.test.inputs[:, 0].reshape(len(test), -1), expected, rtol=1e-5, atol=1e-6)
    assert images.test.labels.tolist() == test[:, len(what.classes) - 1].tolist() and len(images.test) == what.tests
    (tmp_path / what.folder / what.test).unlink()
    assert datasets.named(name, tmp_path).test is None
    with pytest.raises(FileNotFoundError, match="data_dir="):
        datasets.named(name, tmp_path, test=True)


def test_coarse_labels(tiny, tmp_path):
    published.folder(tiny["cifar100"], tmp_path)
    images = datasets.cifar100(tmp_path, coarse=True)
    assert (images.name, images.classes) == ("cifar100, coarse", 20)
    assert images.labels.tolist() == [i % 20 for i in range(20)]
    assert images.inputs.tobytes() == datasets.cifar100(tmp_path).inputs.tobytes()


@BOTH
def test_folder_subfolder_archive_variable_and_cache_give_the_same(tiny, tmp_path, monkeypatch, name):
    what = tiny[name]
    published.folder(what, tmp_path / "flat")
    published.folder(what, tmp_path / "nested" / what.folder)
    (tmp_path / "archived").mkdir()
    archived = published.archive(what, tmp_path / "archived" / what.archive)
    first = datasets.named(name, tmp_path / "flat")
    set_to(monkeypatch, archived)
    for place in ("nested", "archived"):
        images = datasets.named(name, str(tmp_path / place))
        assert images.inputs.tobytes() == first.inputs.tobytes() and (images.labels == first.labels).all()
    assert [p.name for p in (tmp_path / "archived").iterdir()] == [what.archive]  # nothing is unpacked
    monkeypatch.setenv(cifar.VARIABLE, str(tmp_path / "flat"))
    assert datasets.named(name).inputs.tobytes() == first.inputs.tobytes()
    monkeypatch.delenv(cifar.VARIABLE)
    published.folder(what, tmp_path / "home/.cache/weightgas")
    assert datasets.named(name).inputs.tobytes() == first.inputs.tobytes()


@BOTH
def test_missing_files_say_where_to_get_them_and_where_to_put_them(tiny, tmp_path, name):
    what = tiny[name]
    with pytest.raises(FileNotFoundError) as raised:
        datasets.named(name, tmp_path)
    for piece in (what.url, str(tmp_path), "data_dir=", "--data-dir", cifar.VARIABLE, "--download"):
        assert piece in str(raised.value)
    with pytest.raises(FileNotFoundError, match=r"home/\.cache/weightgas"):
        datasets.named(name)


def test_a_folder_that_lacks_a_file_is_named(tiny, tmp_path):
    published.folder(tiny["cifar10"], tmp_path)
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"all files of cifar10, got all except data_batch_3\.bin\. Get"):
        datasets.cifar10(tmp_path)


@BOTH
@pytest.mark.parametrize("damage", ["cut", "record", "empty", "label", "pickle"])
def test_damaged_files_are_refused(tiny, tmp_path, name, damage):
    what = tiny[name]
    published.folder(what, tmp_path)
    path, width = tmp_path / what.files[-1], len(what.classes) + 3072
    content = bytearray(path.read_bytes())
    if damage == "label":
        content[3 * width + len(what.classes) - 1] = what.classes[-1]
    shorter = {"cut": content[:-1], "record": content[:-width], "empty": b"", "label": content}
    path.write_bytes(shorter.get(damage, b"\x80\x02}q\x01(" + content))
    match = f"labels from 0 to {what.classes[-1] - 1}, got" if damage == "label" else f"20 records of {width} bytes"
    with pytest.raises(ValueError, match=rf"{name}, {what.files[-1]}: expected {match}.*unpack .* again"):
        datasets.named(name, tmp_path)


def test_an_archive_of_another_checksum_is_refused(tiny, tmp_path, monkeypatch):
    what = set_to(monkeypatch, published.archive(tiny["cifar10"], tmp_path / tiny["cifar10"].archive))
    datasets.cifar10(tmp_path)
    path = tmp_path / what.archive
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"expected the SHA-256 {what.sha256}, got '\w+'\. It is damaged\. Get"):
        datasets.cifar10(tmp_path)


@pytest.mark.parametrize("kind", ["not an archive", "cut short", "other members", "hostile"])
def test_a_strange_archive_of_the_right_checksum_is_refused(tiny, tmp_path, monkeypatch, kind):
    what = tiny["cifar100"]
    path = tmp_path / "in" / what.archive
    path.parent.mkdir()
    members = {"other members": {"readme.txt": b"hello"}, "hostile": {"../train.bin": b"x", "/tmp/train.bin": b"x"}}
    published.archive(what, path, members.get(kind))
    if kind == "not an archive":
        path.write_bytes(b"<html>Moved</html>")
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:-1000])
    set_to(monkeypatch, replace(what, sha256=cifar.hashlib.sha256(path.read_bytes()).hexdigest()))
    match = r"expected train\.bin in it, got \[\]" if kind in members else r"expected a tar\.gz archive, got"
    with pytest.raises(ValueError, match=match):
        datasets.cifar100(path.parent)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [what.archive]


# --- download ---


@contextmanager
def server(folder):
    """A web server on this machine for the files of a folder; yields its address and the paths that were asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_):
            asked.append(self.path)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()
        thread.join()


def test_a_download_is_verified_and_happens_once(tiny, tmp_path, monkeypatch):
    pytest.importorskip("pooch", reason="pooch is not installed (pip install 'weightgas[download]')")
    what = tiny["cifar10"]
    (tmp_path / "served").mkdir()
    what = published.archive(what, tmp_path / "served" / what.archive)
    place = tmp_path / "new/folder"
    with server(tmp_path / "served") as (address, asked):
        what = set_to(monkeypatch, replace(what, url=f"{address}/{what.archive}"))
        images = datasets.cifar10(place, download=True)
        assert len(images) == 100
        for again in (datasets.cifar10(place, download=True), datasets.cifar10(place)):
            assert again.inputs.tobytes() == images.inputs.tobytes()
        assert asked == [f"/{what.archive}"]
        # What is damaged is fetched again; what comes with another checksum is not kept.
        (place / what.archive).write_bytes(b"half")
        assert len(datasets.cifar10(place, download=True)) == 100
        (place / what.archive).unlink()
        set_to(monkeypatch, replace(what, sha256="0" * 64))
        with pytest.raises(ValueError, match=r"expected a file with the checksum sha256:000.*Nothing was kept"):
            datasets.cifar10(place, download=True)
        assert list(place.iterdir()) == []
        set_to(monkeypatch, replace(what, url=f"{address}/gone/{what.archive}"))
        with pytest.raises(
            OSError, match=r"expected to download it to .*, got 404.*on another machine and put it there"
        ):
            datasets.cifar10(place, download=True)
    set_to(monkeypatch, what)
    with pytest.raises(OSError, match=r"expected to download it to .*refused.*on another machine and put it there"):
        datasets.cifar10(place, download=True)


def test_without_pooch_a_download_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"pip install 'weightgas\[download\]', or get https://www\.cs\..*put"
    ):
        datasets.cifar10(tmp_path, download=True)


def test_pixels_are_normalised_by_channel():
    pixels = np.random.default_rng(0).integers(0, 200, (50, 3, 4, 4), dtype=np.uint8)
    pixels[:, 2] = 7
    inputs = normalised(pixels)
    plane = pixels[:, :2].astype(float)
    expected = (plane - plane.mean((0, 2, 3), keepdims=True)) / plane.std((0, 2, 3), keepdims=True)
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs[:, :2], expected, rtol=2e-7, atol=2e-7)
    assert (inputs[:, 2] == 0).all()
