"""One run: starts what the rows ask for, measures in interleaved rounds, watches the machine, stops everything."""

import os
import time

from . import machine, peers, report
from .samples import Sample, paired, summarise


class Bench:
    """What a row's `measure` works with."""

    clock = staticmethod(time.monotonic)
    pause = staticmethod(time.sleep)

    def __init__(self, site, names, rounds, seconds, deadline_s, say):
        self.site, self.names, self.rounds, self.seconds, self.say = site, names, rounds, seconds, say
        self.deadline = time.monotonic() + deadline_s
        self.running = {}
        self.group = None  # of the row whose peers they are
        self.foreign = []  # what others used during each measurement

    def shared(self, name):
        """The running peer of this name, started on first use. Raises RuntimeError if it does not start."""
        if name in self.running and not self.running[name].process.alive():
            self.say(f"{name} has ended: {self.running.pop(name).process.last_words()}; starting it again")
        if name not in self.running:
            instance = peers.Instance(name, self.site)
            self.running[name] = instance  # first, so that it is stopped whatever happens
            instance.launch().wait_ready()
        return self.running[name]

    def stop_shared(self):
        while self.running:
            self.running.popitem()[1].stop()

    def sample(self, row, name):
        """One measurement. Where the origin was ended from outside meanwhile, that is said, and it is made once more."""
        sample = self._sample(row, name)
        if self._revive_origin():
            self.say(f"{row.name} {name} is measured again")
            sample = self._sample(row, name)
            if self._revive_origin():
                sample.faults.append("the origin ended meanwhile")
        return sample

    def _sample(self, row, name):
        """With a look at what else goes on. A failure is a fault of the sample, not of the run."""
        watch = machine.Watch()
        try:
            sample = row.measure(self, name)
        except (RuntimeError, OSError) as error:
            sample = Sample(float("nan"), faults=[str(error)[:300] or type(error).__name__])
        seen = watch.done()
        sample.foreign, sample.steal, sample.noisy = seen["foreign"], seen["steal"], machine.noisy(seen)
        self.foreign.append(seen)
        return sample

    def _revive_origin(self):
        """Whether the origin had ended, and had to be started again.

        It ends of itself never; a clean end is somebody's SIGTERM (another benchmark's, or a `pkill nginx`).
        """
        if self.site.origin.alive():
            return False
        self.say(f"the origin has ended (exit {self.site.origin.child.returncode}), not by our doing; starting it again")
        self.site.start_origin()
        return True

    def row(self, row, out):
        """All rounds of a row, A B C A B C …, into `out` as {name: [samples]}; cut short if time is up."""
        if not row.shared or row.shared != self.group:
            self.stop_shared()
        self.group = row.shared
        names = [name for name in row.peers if self.takes_part(row, name)]
        rounds = self.rounds * row.times
        for number in range(1, rounds + 1):
            # Each begins a round in turn: whoever comes after the idle moment between two rounds is another each time.
            first = number % len(names) if row.pairs and names else 0
            for name in names[first:] + names[:first]:
                if self.out_of_time():
                    self.say("time is up: the rest is left out (--minutes)")
                    return
                sample = self.sample(row, name)
                out.setdefault(name, []).append(sample)
                flag = f"  BAD: {'; '.join(sample.faults)}" if sample.faults else "  noisy" if sample.noisy else ""
                self.say(f"{row.name} {number}/{rounds} {name}: {report.number(sample.figure)} {row.unit}{flag}")

    def takes_part(self, row, name):
        """Whether a peer of the row is one of this run. Variants of Seawall always are, given their program."""
        if row.pairs:
            return name != "seawall-before" or self.site.before is not None
        return name in self.names

    def out_of_time(self):
        return time.monotonic() > self.deadline

    def quiet(self):
        """One sentence on whether the machine was."""
        if not self.foreign:
            return "nothing measured"
        noisy = sum(machine.noisy(seen) for seen in self.foreign)
        mean = sum(seen["foreign"] for seen in self.foreign) / len(self.foreign)
        steal = sum(seen["steal"] for seen in self.foreign) / len(self.foreign)
        who = sorted({name for seen in self.foreign for name in seen["who"]})[:6]
        names = f" ({', '.join(who)})" if who and noisy else ""
        verdict = (
            "yes" if noisy == 0 else f"NO, {noisy} of {len(self.foreign)} measurements were disturbed: figures do not hold"
        )
        return (
            f"{verdict}. Others used {mean:.2f} cores on average{names}, {100 * steal:.1f} % stolen, "
            f"load average at the end {os.getloadavg()[0]:.1f}"
        )

    def close(self):
        self.stop_shared()
        if self.site.origin:
            self.site.origin.stop()


def results(rows, samples):
    out = []
    for row in rows:
        of_row = samples.get(row.name)
        if not of_row:
            continue
        summaries = {name: summarise(found) for name, found in of_row.items()}
        for ours, theirs in row.pairs:
            if ours in of_row and theirs in of_row:
                summaries[ours].against[theirs] = paired(of_row[ours], of_row[theirs])
        out.append((row, summaries))
    return out
