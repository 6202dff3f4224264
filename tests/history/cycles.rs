//! The cycles of the graph: for each tangle of transactions (a strongly connected component, found
//! after Tarjan, "Depth-first search and linear graph algorithms", 1972) the shortest cycle found of
//! each kind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::graph::{Class, Graph};
use super::{Anomaly, History, Kind, Report};

/// Edges a search for one kind begins with, at most: it is quadratic in them, and a history with so
/// many in one tangle is past saving.
const BEGINNINGS_MAX: usize = 2000;

/// A cycle: nodes, each with the class of the edge to the next one.
type Cycle = Vec<(usize, Class)>;

/// Looks for cycles of each kind and tells them.
pub(super) fn search(history: &History, graph: &Graph<'_>, report: &mut Report) {
    for tangle in components(graph) {
        let nodes: BTreeSet<usize> = tangle.into_iter().collect();
        let mut found: BTreeMap<Kind, Cycle> = BTreeMap::new();
        for search in SEARCHES {
            if search.realtime && !found.is_empty() {
                break;
            }
            search.run(graph, &nodes, &mut found);
        }
        for (kind, cycle) in found {
            report.anomalies.push(told(history, graph, kind, &cycle));
        }
    }
}

fn told(history: &History, graph: &Graph<'_>, kind: Kind, cycle: &Cycle) -> Anomaly {
    let nexts = cycle.iter().cycle().skip(1).map(|(next, _)| *next);
    let reasons = cycle
        .iter()
        .zip(nexts)
        .map(|((node, class), next)| graph.explain(history, *node, next, *class));
    Anomaly {
        kind,
        realtime: cycle.iter().any(|(_, class)| *class == Class::RealTime),
        transactions: cycle.iter().map(|(node, _)| history.transactions[*node].id).collect(),
        reasons: reasons.collect(),
    }
}

/// What a cycle is an instance of.
fn kind_of(cycle: &Cycle) -> Kind {
    let count = |class: Class| cycle.iter().filter(|(_, found)| *found == class).count();
    let predicate = count(Class::PredicateReadWrite);
    match count(Class::ReadWrite) + predicate {
        0 if count(Class::WriteRead) == 0 => Kind::G0,
        0 => Kind::G1c,
        1 => Kind::GSingle,
        _ if predicate == 0 => Kind::G2Item,
        _ => Kind::G2,
    }
}

/// One way of looking: a first edge, then a shortest way back to where it came from.
struct Search {
    first: &'static [Class],
    /// Edges of the way back.
    back: &'static [Class],
    /// Whether the way back needs an anti-dependency too.
    another_rw: bool,
    realtime: bool,
}

use Class::{PredicateReadWrite, ReadWrite, RealTime, WriteRead, WriteWrite};

const SEARCHES: [Search; 8] = [
    Search { first: &[WriteWrite], back: &[WriteWrite], another_rw: false, realtime: false },
    Search {
        first: &[WriteRead],
        back: &[WriteWrite, WriteRead],
        another_rw: false,
        realtime: false,
    },
    Search {
        first: &[ReadWrite, PredicateReadWrite],
        back: &[WriteWrite, WriteRead],
        another_rw: false,
        realtime: false,
    },
    Search {
        first: &[ReadWrite],
        back: &[WriteWrite, WriteRead, ReadWrite],
        another_rw: true,
        realtime: false,
    },
    Search {
        first: &[PredicateReadWrite],
        back: &[WriteWrite, WriteRead, ReadWrite, PredicateReadWrite],
        another_rw: true,
        realtime: false,
    },
    Search {
        first: &[RealTime],
        back: &[WriteWrite, WriteRead, RealTime],
        another_rw: false,
        realtime: true,
    },
    Search {
        first: &[ReadWrite, PredicateReadWrite],
        back: &[WriteWrite, WriteRead, RealTime],
        another_rw: false,
        realtime: true,
    },
    Search {
        first: &[ReadWrite, PredicateReadWrite],
        back: &[WriteWrite, WriteRead, ReadWrite, PredicateReadWrite, RealTime],
        another_rw: true,
        realtime: true,
    },
];

impl Search {
    /// Notes a shortest cycle of each kind met, unless a shorter one is known.
    fn run(&self, graph: &Graph<'_>, nodes: &BTreeSet<usize>, found: &mut BTreeMap<Kind, Cycle>) {
        let beginnings = nodes.iter().flat_map(|node| {
            let edges = graph.from(*node);
            edges.map(move |(to, class)| (*node, to, class))
        });
        let beginnings =
            beginnings.filter(|(_, to, class)| self.first.contains(class) && nodes.contains(to));
        for (from, to, class) in beginnings.take(BEGINNINGS_MAX) {
            let Some(mut walk) = self.way_back(graph, nodes, to, from) else { continue };
            walk.insert(0, (from, class));
            for cycle in simple_cycles(walk) {
                let kind = kind_of(&cycle);
                if found.get(&kind).is_none_or(|known| known.len() > cycle.len()) {
                    found.insert(kind, cycle);
                }
            }
        }
    }

    /// A shortest walk from `start` to `goal`: its nodes but the goal, each with the class of the
    /// edge to the next.
    fn way_back(
        &self,
        graph: &Graph<'_>,
        nodes: &BTreeSet<usize>,
        start: usize,
        goal: usize,
    ) -> Option<Cycle> {
        type State = (usize, bool);
        let first: State = (start, !self.another_rw);
        let mut origins: HashMap<State, (State, Class)> = HashMap::new();
        let mut frontier = std::collections::VecDeque::from([first]);
        while let Some(state) = frontier.pop_front() {
            for (to, class) in graph.from(state.0) {
                if !self.back.contains(&class) || !nodes.contains(&to) {
                    continue;
                }
                let next: State = (to, state.1 || class.is_rw());
                if next == first || origins.contains_key(&next) {
                    continue;
                }
                origins.insert(next, (state, class));
                if next == (goal, true) {
                    return Some(walk(&origins, first, next));
                }
                frontier.push_back(next);
            }
        }
        None
    }
}

fn walk(
    origins: &HashMap<(usize, bool), ((usize, bool), Class)>,
    first: (usize, bool),
    last: (usize, bool),
) -> Cycle {
    let mut walk = Vec::new();
    let mut at = last;
    while at != first {
        let (before, class) = origins[&at];
        walk.push((before.0, class));
        at = before;
    }
    walk.reverse();
    walk
}

/// A closed walk taken apart where it meets itself.
fn simple_cycles(walk: Cycle) -> Vec<Cycle> {
    let (mut cycles, mut open): (Vec<Cycle>, Cycle) = (Vec::new(), Vec::new());
    for step in walk {
        if let Some(place) = open.iter().position(|(node, _)| *node == step.0) {
            cycles.push(open.split_off(place));
        }
        open.push(step);
    }
    cycles.push(open);
    cycles
}

/// Strongly connected components of two nodes or more, without recursion: a tangle may be as long
/// as the history.
fn components(graph: &Graph<'_>) -> Vec<Vec<usize>> {
    let mut walk = Tarjan {
        order: vec![usize::MAX; graph.len()],
        low: vec![usize::MAX; graph.len()],
        on_stack: vec![false; graph.len()],
        stack: Vec::new(),
        next: 0,
        found: Vec::new(),
    };
    for root in 0..graph.len() {
        if walk.order[root] == usize::MAX {
            walk.from(graph, root);
        }
    }
    walk.found
}

struct Tarjan {
    order: Vec<usize>,
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    next: usize,
    found: Vec<Vec<usize>>,
}

impl Tarjan {
    fn enter(&mut self, node: usize) {
        (self.order[node], self.low[node]) = (self.next, self.next);
        self.next += 1;
        self.stack.push(node);
        self.on_stack[node] = true;
    }

    fn from(&mut self, graph: &Graph<'_>, root: usize) {
        self.enter(root);
        let targets = |node: usize| graph.from(node).map(|(to, _)| to).collect::<Vec<_>>();
        let mut path = vec![(root, targets(root).into_iter())];
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            match rest.next() {
                Some(to) if self.order[to] == usize::MAX => {
                    self.enter(to);
                    path.push((to, targets(to).into_iter()));
                }
                Some(to) => {
                    if self.on_stack[to] {
                        self.low[node] = self.low[node].min(self.order[to]);
                    }
                }
                None => {
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        self.low[*parent] = self.low[*parent].min(self.low[node]);
                    }
                    self.close(node);
                }
            }
        }
    }

    fn close(&mut self, node: usize) {
        if self.low[node] != self.order[node] {
            return;
        }
        let begin = self.stack.iter().rposition(|member| *member == node).expect("on the stack");
        let component = self.stack.split_off(begin);
        component.iter().for_each(|member| self.on_stack[*member] = false);
        if component.len() > 1 {
            self.found.push(component);
        }
    }
}
