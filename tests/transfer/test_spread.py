import numpy as np
import pytest
from scipy.stats import t as student

from dataselect.transfer.rolling import fit_later
from dataselect.transfer.spread import Later, NewData


def test_the_scale_for_a_new_dataset_grows_away_from_the_centre() -> None:
    new = NewData(freedom=4, scatter=0.03, level=0.04, slope=0.5, centre=0.0)
    scale = new.scale(np.array([1.0, np.e**0.1, np.e**0.5]))
    np.testing.assert_allclose(scale, [0.05, np.hypot(0.05, 0.05), np.hypot(0.05, 0.25)])
    flat = NewData(freedom=4, scatter=0.03)
    np.testing.assert_allclose(flat.scale(np.array([-2.0, 5.0])), 0.03)
    assert flat.quantile(0.9) == pytest.approx(student.ppf(0.95, 4))


def test_what_candidates_share_cancels_between_them() -> None:
    new = NewData(freedom=30, scatter=1e-9, level=0.2, slope=0.4, centre=0.0)
    x = np.tile([1.5, 1.5, 1.0], (4000, 1))
    apart = new.apart(x, np.random.default_rng(0))
    np.testing.assert_allclose(apart[:, 0], apart[:, 1], atol=1e-7)
    assert (apart[:, 0] - apart[:, 2]).std() == pytest.approx(0.4 * np.log(1.5), rel=0.1)


def test_later_checkpoints_are_less_sure_the_further_they_lie() -> None:
    later = Later(freedom=5, inside=0.01, beyond=0.02, reach=0.5)
    scale = later.scale(np.array([0.0, 0.5, 1.5]))
    np.testing.assert_allclose(scale, [0.02, 0.02 * np.sqrt(2), 0.04])
    quiet = Later(freedom=5, inside=0.05, beyond=0.02, reach=0.5)
    assert quiet.scale(np.array(0.1)) == 0.05


def test_a_run_that_climbs_faster_than_its_past_is_seen_in_its_past() -> None:
    x = np.linspace(1.0, 0.0, 20)

    def line(x: np.ndarray, y: np.ndarray):  # type: ignore[no-untyped-def]
        return np.poly1d(np.polyfit(x, y, 1))

    runs = [np.arange(20)]
    straight = fit_later(line, x, 0.5 - 0.3 * x, runs, np.full(20, 0.001))
    bent = fit_later(line, x, 0.5 * (1 - x) ** 3, runs, np.full(20, 0.001))
    assert straight is not None
    assert bent is not None
    assert straight.beyond < 1e-9
    assert bent.beyond > 0.05
    assert bent.freedom == 10
    assert fit_later(line, x[:4], x[:4], [np.arange(4)], np.zeros(4)) is None
