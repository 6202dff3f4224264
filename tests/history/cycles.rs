//! The cycles of the graph: in each tangle of transactions (a strongly connected component) the
//! shortest cycle found of each kind. First without real time, then with it, where nothing was
//! found without.

use std::collections::{BTreeMap, VecDeque};

use super::components::{components, tangles};
use super::graph::{Class, Edge, Graph};
use super::{Anomaly, History, Kind, Report, lost, names};

/// Steps one search takes in one tangle, at most, beyond a few for each of its edges: a history
/// with so many wrong edges in one tangle has been told enough about.
const STEPS_MAX: usize = 5_000_000;

/// One transaction of a cycle, and the edge to the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'h> {
    /// The transaction.
    pub from: usize,
    /// Leads to the transaction of the next step.
    pub edge: Edge<'h>,
}

/// A cycle: the last step leads to the first one.
pub(super) type Cycle<'h> = Vec<Step<'h>>;

/// The shortest cycle found of each kind.
#[derive(Default)]
pub(super) struct Found<'h>(BTreeMap<Kind, Cycle<'h>>);

impl<'h> Found<'h> {
    /// Notes a cycle, unless one as short is known.
    pub fn note(&mut self, kind: Kind, cycle: Cycle<'h>) {
        if self.0.get(&kind).is_none_or(|known| known.len() > cycle.len()) {
            self.0.insert(kind, cycle);
        }
    }
}

/// Looks for cycles of each kind and tells them.
pub(super) fn search<'h>(history: &'h History, graph: &Graph<'h>, report: &mut Report) {
    let mut is_told = vec![false; graph.len()];
    for timed in [false, true] {
        let targets = (0..graph.len()).map(|node| {
            let edges = graph.from(node).iter().filter(|edge| timed || !edge.timed);
            edges.map(|edge| edge.to).collect()
        });
        for nodes in tangles(&targets.collect()) {
            if nodes.iter().any(|node| is_told[*node]) {
                continue;
            }
            nodes.iter().for_each(|node| is_told[*node] = true);
            let tangle = Tangle::of(graph, nodes, timed);
            let mut found = Found::default();
            lost::updates(graph, &tangle.nodes, &mut found);
            let searches = if timed { &TIMED[..] } else { &UNTIMED[..] };
            for search in searches {
                // With real time a tangle may be the whole history: one name for it is enough.
                if timed && !found.0.is_empty() {
                    break;
                }
                search.run(history, graph, &tangle, &mut found);
            }
            for (kind, cycle) in found.0 {
                report.anomalies.push(told(history, kind, &cycle));
            }
        }
    }
}

fn told(history: &History, kind: Kind, cycle: &Cycle<'_>) -> Anomaly {
    Anomaly {
        kind,
        realtime: cycle.iter().any(|step| step.edge.timed),
        transactions: cycle.iter().map(|step| history.transactions[step.from].id).collect(),
        reasons: cycle.iter().map(|step| names::explain(history, step)).collect(),
    }
}

/// A strongly connected part of the graph, its nodes numbered anew.
struct Tangle<'g, 'h> {
    nodes: Vec<usize>,
    /// How many of them are transactions; they come first.
    transactions: usize,
    edges: Vec<Vec<(usize, &'g Edge<'h>)>>,
}

impl<'g, 'h> Tangle<'g, 'h> {
    fn of(graph: &'g Graph<'h>, nodes: Vec<usize>, timed: bool) -> Self {
        let place = |node: usize| nodes.binary_search(&node).ok();
        let edges = nodes.iter().map(|node| {
            let edges = graph.from(*node).iter().filter(|edge| timed || !edge.timed);
            edges.filter_map(|edge| Some((place(edge.to)?, edge))).collect()
        });
        let edges = edges.collect();
        let transactions = nodes.partition_point(|node| *node < graph.transactions);
        Tangle { nodes, transactions, edges }
    }
}

use Class::{Onward, PredicateReadWrite, ReadWrite, RealTime, WriteRead, WriteWrite};

/// One way of looking: a first edge, then a shortest way back to where it came from.
struct Search {
    first: &'static [Class],
    /// Edges of the way back.
    back: &'static [Class],
    /// Whether the way back needs an anti-dependency too.
    another_rw: bool,
    /// Whether longer cycles are of interest too, since they may have another name.
    names: bool,
}

const ONE_RW: Search = Search {
    first: &[ReadWrite, PredicateReadWrite],
    back: &[WriteWrite, WriteRead],
    another_rw: false,
    names: true,
};

const UNTIMED: [Search; 5] = [
    Search { first: &[WriteWrite], back: &[WriteWrite], another_rw: false, names: false },
    Search { first: &[WriteRead], back: &[WriteWrite, WriteRead], another_rw: false, names: false },
    ONE_RW,
    Search {
        first: &[ReadWrite],
        back: &[WriteWrite, WriteRead, ReadWrite],
        another_rw: true,
        names: false,
    },
    Search {
        first: &[PredicateReadWrite],
        back: &[WriteWrite, WriteRead, ReadWrite, PredicateReadWrite],
        another_rw: true,
        names: false,
    },
];

const TIMED: [Search; 3] = [
    Search {
        first: &[WriteWrite, WriteRead, RealTime],
        back: &[WriteWrite, WriteRead, RealTime],
        another_rw: false,
        names: false,
    },
    Search { back: &[WriteWrite, WriteRead, RealTime], names: false, ..ONE_RW },
    Search {
        first: &[ReadWrite, PredicateReadWrite],
        back: &[WriteWrite, WriteRead, ReadWrite, PredicateReadWrite, RealTime],
        another_rw: true,
        names: false,
    },
];

impl Search {
    fn leads_back(&self, class: Class) -> bool {
        class == Onward || self.back.contains(&class)
    }

    /// Notes a shortest cycle of each kind met.
    fn run<'h>(
        &self,
        history: &'h History,
        graph: &Graph<'h>,
        tangle: &Tangle<'_, 'h>,
        found: &mut Found<'h>,
    ) {
        let targets = tangle.edges.iter().map(|edges| {
            let back = edges.iter().filter(|(_, edge)| self.leads_back(edge.class));
            back.map(|(to, _)| *to).collect()
        });
        let places = components(&targets.collect());
        let mut walker = Walker::of(self, tangle, &places);
        let mut shortest = usize::MAX;
        for from in 0..tangle.transactions {
            for (to, edge) in &tangle.edges[from] {
                // Without a way back there is no cycle to look for.
                if places[*to] < places[from] || !self.first.contains(&edge.class) {
                    continue;
                }
                let longest = if self.names { usize::MAX } else { shortest };
                let Some(walk) = walker.way_back(from, (*to, edge), longest) else { continue };
                for mut cycle in simple_cycles(walk) {
                    shortest = shortest.min(cycle.len());
                    let kind = names::name(history, graph, &mut cycle);
                    found.note(kind, cycle);
                }
            }
        }
    }
}

/// A node, and whether an anti-dependency that was still wanted lies on the way to it, in one
/// number.
type State = usize;

/// Looks for ways back, one after the other, and remembers what it has seen by the number of the
/// walk.
struct Walker<'a, 'g, 'h> {
    search: &'a Search,
    tangle: &'a Tangle<'g, 'h>,
    places: &'a [usize],
    steps_left: usize,
    walks: u32,
    seen: Vec<u32>,
    lengths: Vec<usize>,
    origins: Vec<(State, Option<&'g Edge<'h>>)>,
}

impl<'a, 'g, 'h> Walker<'a, 'g, 'h> {
    fn of(search: &'a Search, tangle: &'a Tangle<'g, 'h>, places: &'a [usize]) -> Self {
        let states = 2 * tangle.nodes.len();
        let edges: usize = tangle.edges.iter().map(Vec::len).sum();
        Walker {
            search,
            tangle,
            places,
            steps_left: STEPS_MAX + 4 * (edges + states),
            walks: 0,
            seen: vec![0; states],
            lengths: vec![0; states],
            origins: vec![(0, None); states],
        }
    }

    /// A shortest closed walk that begins at `goal` with a given edge, of at most `longest` steps.
    /// Nodes that are no transactions count for nothing.
    fn way_back(
        &mut self,
        goal: usize,
        (to, edge): (usize, &'g Edge<'h>),
        longest: usize,
    ) -> Option<Cycle<'h>> {
        let first: State = 2 * to + usize::from(!self.search.another_rw);
        self.walks += 1;
        let weight = |node: usize| usize::from(node < self.tangle.transactions);
        (self.seen[first], self.lengths[first]) = (self.walks, weight(to));
        self.origins[first] = (first, None);
        let mut frontier = VecDeque::from([first]);
        while let Some(state) = frontier.pop_front() {
            let (node, length) = (state / 2, self.lengths[state]);
            if state == 2 * goal + 1 {
                return Some(self.walk(goal, edge, state));
            }
            for (to, edge) in &self.tangle.edges[node] {
                self.steps_left = self.steps_left.checked_sub(1)?;
                let leads_on = self.places[*to] >= self.places[goal];
                if !leads_on || !self.search.leads_back(edge.class) {
                    continue;
                }
                let next = 2 * to + ((state % 2) | usize::from(edge.class.is_rw()));
                let longer = length + weight(*to);
                let known = self.seen[next] == self.walks && self.lengths[next] <= longer;
                if known || longer > longest {
                    continue;
                }
                (self.seen[next], self.lengths[next]) = (self.walks, longer);
                self.origins[next] = (state, Some(edge));
                match weight(*to) {
                    0 => frontier.push_front(next),
                    _ => frontier.push_back(next),
                }
            }
        }
        None
    }

    /// The walk to a state, without the nodes that are no transactions: what led on from them is
    /// the reason of the edge that led to them.
    fn walk(&self, goal: usize, edge: &Edge<'h>, last: State) -> Cycle<'h> {
        let mut edges: Vec<(usize, &Edge<'h>)> = Vec::new();
        let mut at = last;
        while let (before, Some(edge)) = self.origins[at] {
            edges.push((before / 2, edge));
            at = before;
        }
        edges.push((goal, edge));
        let mut walk: Cycle<'h> = Vec::new();
        for (node, edge) in edges.into_iter().rev() {
            match walk.last_mut().filter(|_| node >= self.tangle.transactions) {
                Some(step) => {
                    let (op, timed) = (step.edge.reason.op, step.edge.timed);
                    (step.edge.to, step.edge.reason) = (edge.to, edge.reason);
                    (step.edge.reason.op, step.edge.timed) = (op, timed);
                }
                None => walk.push(Step { from: self.tangle.nodes[node], edge: *edge }),
            }
        }
        walk
    }
}

/// A closed walk taken apart where it meets itself.
fn simple_cycles(walk: Cycle<'_>) -> Vec<Cycle<'_>> {
    let (mut cycles, mut open): (Vec<Cycle<'_>>, Cycle<'_>) = (Vec::new(), Vec::new());
    for step in walk {
        if let Some(place) = open.iter().position(|met| met.from == step.from) {
            cycles.push(open.split_off(place));
        }
        open.push(step);
    }
    cycles.push(open);
    cycles
}
