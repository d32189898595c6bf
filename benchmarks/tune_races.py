"""How often a race turns on what does nothing, and how often it finds what helps: the race of the product, many times.

    for seed in 0 1 2 3 4 5 6 7 8 9; do
      farsight eval --task scenes:test --count 300 --question-count 1 --batch-size 100 --methods greedy \
        --temperature 0.7 --seed $seed --out pool/$seed
    done
    python benchmarks/tune_races.py pool/*

Every run of the pool is plain decoding with other draws. A race gives each contender, and plain decoding, one of the
drawn answers to each picture, so that all contenders are plain decoding under other names (A/A). To plant an effect,
false mentions of one contender are taken out, each with the chance that lowers CHAIR_I by so many points: of draws of
its own ("other words"), or of plain decoding's ("same words"). Real methods are between the two: they say much of what
plain decoding says.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy import stats

from farsight.evaluate.named_tasks import TaskOptions, make_task
from farsight.evaluate.run_folder import PICTURES
from farsight.files import json_lines, opened
from farsight.tune.asked import annotated, by_picture
from farsight.tune.counts import TERMS, Counts, counts_of
from farsight.tune.guards import GUARDS
from farsight.tune.race import Outcome, halves, run_race, settle

PLAIN, PLANTED = "plain", "planted"
FALSE, KNOWN, MENTIONS = (TERMS.index(name) for name in ("false", "known", "mentions"))


def read_pool(runs: Sequence[Path]) -> NDArray[np.float64]:
    """What each run counts of each picture, ``(runs, pictures, terms)``: its captions, no questions."""
    task = make_task("scenes:test", TaskOptions(count=300, question_count=1), runs[0] / PICTURES)
    truth = annotated(task)
    pool = []
    for run in runs:
        with opened(run / "answers.jsonl") as file:
            rows = {(PLAIN, row["item"]): row for row in (json.loads(line) for _, line in json_lines(file))}
        captions = [[item for item in about if item.kind == "caption"] for about in by_picture(task)]
        pool.append([counts_of([PLAIN], about, rows, truth)[PLAIN] for about in captions])
    return np.array(pool)


def chance_for(pool: NDArray[np.float64], points: float) -> float:
    """With what chance a false mention has to go for CHAIR_I to fall by so many points."""
    false, known = pool[..., FALSE].sum(), pool[..., KNOWN].sum()
    wanted = false / known - points / 100
    return float((false - wanted * known) / (false * (1 - wanted)))


def race(
    pool: NDArray[np.float64], pictures: int, contenders: int, gone: float, seed: int, *, same_words: bool
) -> Outcome:
    """Race contenders of whom one loses false mentions with the chance ``gone``, on pictures that are drawn."""
    dice = np.random.default_rng(seed)
    drawn = dice.choice(pool.shape[1], pictures, replace=False)
    said = np.array([dice.permutation(pool.shape[0]) for _ in drawn])
    labels = [PLAIN, PLANTED, *(f"other {number}" for number in range(contenders - 1))]
    answers = {label: pool[said[:, place], drawn].copy() for place, label in enumerate(labels)}
    if same_words:
        answers[PLANTED] = answers[PLAIN].copy()
    lost = dice.binomial(answers[PLANTED][:, FALSE].astype(int), gone)
    answers[PLANTED][:, [FALSE, KNOWN, MENTIONS]] -= lost[:, None]

    def counted(asked: Sequence[str], units: Sequence[int]) -> dict[str, Counts]:
        return {label: answers[label][list(units)] for label in asked}

    first, second = halves(range(pictures), seed)
    found = run_race(PLAIN, labels[1:], first, counted, GUARDS, seed=seed)
    return settle(PLAIN, found, second, counted, GUARDS, seed=seed)


def told(outcomes: Sequence[Outcome]) -> str:
    """How many races turn something on, with an exact 95 % interval, and how many the planted one."""
    on = [outcome.race.winner for outcome in outcomes if outcome.turn_on]
    low, high = stats.binomtest(len(on), len(outcomes)).proportion_ci(method="exact")
    share = 100 * len(on) / len(outcomes)
    return f"{share:.1f} % [{100 * low:.1f}, {100 * high:.1f}], {on.count(PLANTED)} of {len(on)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", nargs="+", type=Path)
    parser.add_argument("--races", type=int, default=200)
    parser.add_argument("--pictures", type=int, nargs="+", default=[100, 200, 300])
    parser.add_argument("--effects", type=float, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--contenders", type=int, default=8)
    args = parser.parse_args()
    pool = read_pool(args.pool)
    totals = pool.sum(axis=(0, 1))
    rate = 100 * totals[FALSE] / totals[KNOWN]
    print(f"{len(args.pool)} sets of answers, CHAIR_I {rate:.1f} %, {args.contenders} contenders, {args.races} races")
    print("| pictures | effect, points | turned on, other words | turned on, same words |")
    print("|---|---|---|---|")
    for pictures in args.pictures:
        for effect in args.effects:
            gone = chance_for(pool, effect)
            ways = (False, True) if effect else (False,)
            cells = [
                told(
                    [
                        race(pool, pictures, args.contenders, gone, seed, same_words=same)
                        for seed in track(
                            range(args.races),
                            description=f"{pictures}, {effect:g}",
                            transient=True,
                            console=Console(stderr=True),
                        )
                    ]
                )
                for same in ways
            ]
            print(f"| {pictures} | {effect:g} | {' | '.join(cells)} |{'' if effect else '  |'}", flush=True)


if __name__ == "__main__":
    main()
