"""An artefact with its moving averages in place of the raw values: what a program evaluates, where it trained with an average beside it.

Which variable averages which is the readers' to tell (`Variable.average_of`): tf.train.ExponentialMovingAverage by its name, the averages
of Keras's optimisers (use_ema) and of TensorFlow Addons' MovingAverage by the object graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact, Facts, Variable
from stylexport.converter.graph.graph import Graph

RAW = "the raw value; its moving average is taken instead"


def averaged(artefact: Artefact) -> Artefact:
    """`artefact` with its averages; itself where its networks are objects, of which the average is taken anyway (NVIDIA's Gs, G_ema)."""
    return artefact if artefact.facts.networks else Averaged(artefact)


class Averaged:
    """`original`, read with its moving averages under the names of what they average. Raises BadInput where it holds none."""

    def __init__(self, original: Artefact) -> None:
        self.original, self.path, self.format = original, original.path, original.format
        keys = {variable.key for variable in original.variables if variable.slot is None}
        averages = {v.average_of: v for v in original.variables if v.average_of in keys}
        if not averages:
            raise BadInput(f"{original.path}: holds no moving averages that can be told; take its weights without --averages")
        self.key_of = {raw: average.key for raw, average in averages.items() if raw is not None}
        raws = {v.key: v for v in original.variables if v.key in self.key_of}
        self.variables: tuple[Variable, ...] = tuple(
            replace(v, name=raws[v.average_of].name, slot=None, average_of=None, path=raws[v.average_of].path)
            if v.average_of in raws and averages[v.average_of] is v
            else replace(v, slot=RAW)
            if v.key in raws
            else v
            for v in original.variables
        )
        note = f"the moving averages of {len(raws)} variables are taken in place of their raw values"
        self.facts: Facts = replace(original.facts, notes=(*original.facts.notes, note))

    def read(self, variable: Variable) -> Array:
        """The tensor at the variable's own key, its checksum verified. Raises DamagedFile."""
        return self.original.read(variable)

    def renamed(self, graph: Graph) -> Graph:
        """A graph of the original's that takes the averages where it took the raw values."""
        return replace(graph, keys={node: self.key_of.get(key, key) for node, key in graph.keys.items()})

    def graphs(self) -> Iterator[Graph]:
        """The original's, with the averages."""
        return map(self.renamed, self.original.graphs())

    def finish(self) -> None:
        """Verify every checksum that reading has not."""
        self.original.finish()

    def close(self) -> None:
        """Close the original."""
        self.original.close()
