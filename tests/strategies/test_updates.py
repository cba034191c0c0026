"""Updates in any form are the same updates."""

import os

import pytest
import torch

import strategies
from strategies import Evidence, Updates
from strategies.errors import UpdatesError


@pytest.fixture
def dense():
    return torch.randn(7, 5_003, generator=torch.Generator().manual_seed(1))


def state_dicts(dense):
    """The same rows as layers of three shapes, one of them empty; later clients name them in another order."""
    dicts = []
    for index, row in enumerate(dense):
        layers = {"w": row[:5_000].view(50, 100), "none": row[:0], "b": row[5_000:]}
        dicts.append(layers if index == 0 else dict(reversed(layers.items())))
    return dicts


def forms(dense, path):
    path.write_bytes(dense.numpy().tobytes())
    return {
        "list": Updates(list(dense.clone())),
        "state dicts": Updates(state_dicts(dense)),
        "file": Updates.from_file(path, n_clients=7, n_params=5_003),
        "strided": Updates(dense.T.contiguous().T),
        "offset": Updates(torch.cat([torch.zeros(7, 1), dense], dim=1)[:, 1:]),
    }


@pytest.mark.parametrize("name", strategies.names())
def test_every_form_gives_the_same_bits(name, dense, tmp_path):
    """Dense, listed, in layers, on disk, with other strides or another alignment."""
    credit = torch.arange(7.0)
    evidence = Evidence(credit=credit, z=credit, root=dense[0] / 2)
    expected = strategies.create(name).aggregate(dense, evidence=evidence)
    for form, updates in forms(dense, tmp_path / "updates").items():
        found = strategies.create(name).aggregate(updates, evidence=evidence)
        assert torch.equal(found.update, expected.update), form
        assert torch.equal(found.influence, expected.influence), form


@pytest.mark.parametrize("columns", [None, 1, 999, 5_002, 10_000])
def test_blocks_tile_the_matrix(dense, columns, tmp_path):
    """Side by side and in order, the blocks are the matrix."""
    for form, updates in forms(dense, tmp_path / "updates").items():
        blocks = list(updates.blocks(columns))
        assert torch.equal(torch.cat([block for _, block in blocks], dim=1), dense), form
        assert [start for start, _ in blocks] == [index * blocks[0][1].shape[1] for index in range(len(blocks))], form


def test_rows_are_views_in_the_order_given(dense, tmp_path):
    """A subset reads the same memory, and knows its norms."""
    for form, updates in {"dense": Updates(dense), **forms(dense, tmp_path / "updates")}.items():
        part = updates.rows([4, 1, 6])
        assert torch.equal(next(part.blocks(5_003))[1], dense[[4, 1, 6]]), form
        assert torch.equal(part.norms(), updates.norms()[[4, 1, 6]]), form
        assert torch.equal(part.row(2), dense[6]), form
    assert Updates(dense).rows([2, 3]).row(0).data_ptr() == dense[2].data_ptr()


def test_norms_and_finiteness(dense):
    """Norms in float64; one bad value makes a row unusable, and so do squares beyond float64."""
    wide = dense.double()
    torch.testing.assert_close(Updates(dense).norms(), wide.norm(dim=1), rtol=1e-12, atol=0)
    wide[1, 3], wide[2, 0], wide[3, 0] = torch.nan, -torch.inf, 1e160
    assert Updates(wide).finite().tolist() == [True, False, False, False, True, True, True]
    assert Updates(torch.full((1, 3), torch.finfo(torch.float32).max)).finite().all()


def test_blocks_dont_depend_on_the_caller_s_gradients():
    """Updates that require gradients are read like others."""
    updates = torch.ones(3, 2, requires_grad=True)
    assert not strategies.create("median").aggregate(updates).update.requires_grad


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.ones(3), r"shape \(3,\)"),
        (torch.ones(0, 3), r"shape \(0, 3\)"),
        (torch.ones(3, 0), "no parameters"),
        ([], "0 clients"),
        ([torch.ones(3), torch.ones(4)], r"client 1 has the shape \(4,\)"),
        ([torch.ones(2, 2)], r"shape \(2, 2\)"),
        ([{"a": torch.ones(2)}, {"b": torch.ones(2)}], "client 1 has the shape None in 'a'"),
        ([{"a": [1.0]}], "client 0 has a list in 'a'"),
        ([torch.ones(3, dtype=torch.int64)], "client 0 has values of torch.int64"),
        ({"a": torch.ones(3)}, "updates are a dict"),
        ("updates.bin", "updates are a str"),
    ],
)
def test_what_isnt_updates_is_refused(data, message):
    """The error names the client, what it has, and what was expected."""
    with pytest.raises(UpdatesError, match=message) as error:
        Updates(data)
    assert error.value.remedy


def test_a_file_of_another_size_is_refused(tmp_path):
    """Before a byte of it is mapped."""
    path = tmp_path / "updates"
    with pytest.raises(UpdatesError, match="isn't a file"):
        Updates.from_file(path, n_clients=2, n_params=2)
    path.write_bytes(b"0" * 15)
    with pytest.raises(UpdatesError, match=r"has 15 bytes; 2 x 2 values of torch\.float32 are 16 bytes"):
        Updates.from_file(path, n_clients=2, n_params=2)


@pytest.mark.parametrize("indices", [[], [-1], [7]])
def test_rows_outside_are_refused(dense, indices):
    """No wrapping around, no empty subset."""
    with pytest.raises(UpdatesError, match="of 7 clients"):
        Updates(dense).rows(indices)


def test_a_file_larger_than_memory_is_read_in_blocks(tmp_path):
    """A sparse one: it takes no disk; its last value is the only one that isn't zero."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    n_params = memory * 2 // (4 * 8)
    path = tmp_path / "updates"
    with path.open("wb") as file:
        file.truncate(8 * n_params * 4)
        file.seek(-4, os.SEEK_END)
        file.write(torch.tensor([3.0]).numpy().tobytes())
    updates = Updates.from_file(path, n_clients=8, n_params=n_params)
    assert updates.block(n_params - 2, n_params)[7].tolist() == [0.0, 3.0]
