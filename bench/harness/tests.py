"""Tests of what the harness concludes: `python3 -m unittest harness.tests` in bench/."""

import tempfile
import unittest
from pathlib import Path

from . import bench, guards, load, report, rows, steady
from .samples import Sample, paired, ratio, summarise

H2LOAD = """
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Application protocol: h2
finished in 1.02s, 9803.92 req/s, 10.5MB/s
requests: 10000 total, 10000 started, 10000 done, {good} succeeded, {bad} failed, 0 errored, 0 timeout
status codes: {good} 2xx, 0 3xx, 0 4xx, {bad} 5xx
traffic: 10.1MB (10600000) total, 100KB (102400) headers (space savings 90%), 9.77MB (10240000) data
time for connect:     1.20ms      3.40ms      2.50ms       500us    90.00%
"""


def wrk_line(**changed):
    got = {"requests": 100, "bytes": 120_000, "us": 1_000_000, "p99_us": 2500, "max_us": 9000}
    got |= {key: 0 for key in ("connect", "read", "write", "status", "timeout")} | changed
    return "Running\nBENCH " + str(got).replace("'", '"') + "\n"


class Load(unittest.TestCase):
    def test_a_good_run_of_wrk_has_no_faults(self):
        seen = load.wrk_seen(wrk_line())
        self.assertEqual((seen.requests, seen.rps, seen.p99_ms), (100, 100.0, 2.5))
        self.assertEqual(seen.faults(1024), [])

    def test_errors_and_short_bodies_are_faults(self):
        self.assertEqual(load.wrk_seen(wrk_line(status=3)).faults(1024), ["3 not 2xx"])
        # A redirect is no error to wrk, but has no body of the size asked for.
        self.assertEqual(len(load.wrk_seen(wrk_line(bytes=20_000)).faults(1024)), 1)
        self.assertTrue(load.wrk_seen("unable to connect").faults(1024))

    def test_h2load_is_read(self):
        seen = load.h2load_seen(H2LOAD.format(good=10000, bad=0), 10_000)
        self.assertEqual((seen.requests, seen.rps, seen.body_bytes), (10_000, 9803.92, 10_240_000))
        self.assertEqual(seen.facts["Application protocol"], "h2")
        self.assertEqual(seen.facts["connect_ms"], 2.5)
        self.assertEqual(seen.faults(1024), [])

    def test_one_response_of_h2load_that_is_not_2xx_is_a_fault(self):
        self.assertEqual(load.h2load_seen(H2LOAD.format(good=9999, bad=1), 10_000).faults(1000), ["1 not 2xx"])

    def test_a_hit_that_reached_the_origin_is_a_fault(self):
        seen = load.wrk_seen(wrk_line(requests=10_000, bytes=20_000_000))
        self.assertTrue(rows._checked(seen, "/cached/1k.txt", proxied=False, reached=10_000))
        self.assertFalse(rows._checked(seen, "/cached/1k.txt", proxied=False, reached=2))
        self.assertTrue(rows._checked(seen, "/fresh/1k.txt", proxied=True, reached=2))


class Figures(unittest.TestCase):
    def test_each_median_is_its_own_and_a_fault_of_one_round_stays(self):
        got = summarise([Sample(3.0, 10), Sample(1.0, 30), Sample(2.0, 20, faults=["1 not 2xx"])])
        self.assertEqual((got.figure, got.rps, got.faults), (2.0, 20, ["1 not 2xx"]))

    def test_a_peer_with_faults_is_not_the_best(self):
        row = {
            "seawall": summarise([Sample(10.0)]),
            "a": summarise([Sample(5.0, faults=["x"])]),
            "b": summarise([Sample(20.0)]),
        }
        self.assertEqual(ratio(row), (0.5, "b"))

    def test_seawall_with_faults_has_no_ratio(self):
        row = {"seawall": summarise([Sample(float("nan"), faults=["x"])]), "b": summarise([Sample(20.0)])}
        self.assertEqual(ratio(row), (None, None))
        self.assertIn("BAD: x", report.text(rows.ROWS[0], row))

    def test_markdown_replaces_its_own_block_only(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "README.md"
            path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            report.write_markdown(path, f"{report.BEGIN}\nnew\n{report.END}")
            self.assertEqual(path.read_text(), f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")


class Guards(unittest.TestCase):
    def test_what_changes_from_round_to_round_falls_out_of_a_pair(self):
        theirs = [Sample(x) for x in (10.0, 30.0, 15.0, 22.0, 11.0)]
        ours = [Sample(x * 1.02) for x in (10.0, 30.0, 15.0, 22.0, 11.0)]
        found = paired(ours, theirs)
        self.assertTrue(all(abs(x - 1.02) < 1e-9 for x in found), found)
        self.assertEqual(report.change(found), "+2.0 % (+2.0 to +2.0)")

    def test_one_odd_round_does_not_move_a_pair_and_rounds_without_a_figure_are_left_out(self):
        theirs = [Sample(10.0)] * 9
        ours = [Sample(10.1)] * 7 + [Sample(20.0), Sample(float("nan"))]
        middle, low, high = paired(ours, theirs)
        self.assertAlmostEqual(middle, 1.01)
        self.assertTrue(low <= middle <= high)
        self.assertIsNone(paired(ours[:2], theirs[:2]))

    def test_a_canary_that_was_not_held_throughout_is_a_fault(self):
        self.assertEqual(guards.held_share((50, 100, 200), (50, 600, 1200)), (0.5, None))
        self.assertTrue(guards.held_share((50, 100, 200), (0, 0, 0))[1])
        self.assertTrue(guards.held_share((50, 100, 200), (50, 100, 1200))[1], "no request under the candidate")
        self.assertTrue(guards.held_share((50, 100, 200), (50, 100, 200))[1], "nothing counted")

    def test_the_variants_differ_in_what_their_names_say(self):
        class Site:
            origin_port = 1

        plain = guards.zone_text(Site, {"PROXY": 2})
        for word in ("[[list]]", "[[zone.rule]]", "score", "request_headers", "stages"):
            self.assertNotIn(word, plain)
        full = guards.zone_text(Site, {"PROXY": 2}, modules=True, canary=True, changed=True)
        self.assertEqual(full.count("[[zone.rule]]"), 20)
        self.assertEqual(len(guards.banned()), len(set(guards.banned())))
        self.assertIn("stages = [50]", full)

    def test_a_stall_is_in_the_figures_of_its_moment_only(self):
        rows_ = [(float(n), 1.0) for n in range(100)] + [(50.5, 80.0), (60.5, None)]
        self.assertEqual(steady.between(rows_, 0, 40), (40, 0, 1.0, 1.0, 1.0))
        self.assertEqual(steady.between(rows_, 40, 60)[3:], (80.0, 80.0))
        self.assertEqual(steady.between(rows_, 60, 70)[:2], (11, 1))
        self.assertEqual(steady.between(rows_, 500, 600)[:3], (0, 0, None))

    def test_pairs_reach_the_report(self):
        row = next(row for row in rows.ROWS if row.name == "guards-proxy-1k")
        samples = {row.name: {"seawall": [Sample(10.0)] * 4, "seawall-canary": [Sample(10.2)] * 4}}
        found = bench.results([row], samples)
        self.assertIn("+2.0 % (+2.0 to +2.0) on seawall", report.text(*found[0]))
        self.assertIn("canary +2.0 %", report.overview(found))


if __name__ == "__main__":
    unittest.main()
