//! The cycles of the graph: for each tangle of transactions (a strongly connected component, found
//! after Tarjan, "Depth-first search and linear graph algorithms", 1972) the shortest cycle found of
//! each kind.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::graph::{Class, Graph};
use super::{Anomaly, History, Kind, Report};

/// Steps one search takes in one tangle, at most: a history with so many wrong edges in one tangle
/// has been told enough about.
const STEPS_MAX: usize = 5_000_000;

/// A cycle: nodes, each with the class of the edge to the next one.
type Cycle = Vec<(usize, Class)>;

/// Looks for cycles of each kind and tells them.
pub(super) fn search(history: &History, graph: &Graph<'_>, report: &mut Report) {
    let everything = |node: usize| graph.from(node).map(|(to, _)| to).collect();
    for tangle in Components::of((0..graph.len()).collect(), everything).found {
        if tangle.len() < 2 {
            continue;
        }
        let mut found: BTreeMap<Kind, Cycle> = BTreeMap::new();
        for search in SEARCHES {
            if search.realtime && !found.is_empty() {
                break;
            }
            search.run(graph, &tangle, &mut found);
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

/// Where a node stands among those of a tangle: a way from one to another never leads to a greater
/// number.
type Places = HashMap<usize, usize>;

impl Search {
    /// Notes a shortest cycle of each kind met, unless a shorter one is known.
    fn run(&self, graph: &Graph<'_>, tangle: &[usize], found: &mut BTreeMap<Kind, Cycle>) {
        let members: Places = tangle.iter().map(|node| (*node, 0)).collect();
        let back = |node: usize| {
            let edges = graph.from(node);
            let ways =
                edges.filter(|(to, class)| self.back.contains(class) && members.contains_key(to));
            ways.map(|(to, _)| to).collect()
        };
        let places = Components::of(tangle.to_vec(), back).places();
        let mut steps_left = STEPS_MAX;
        for from in tangle {
            for (to, class) in graph.from(*from) {
                // Without a way back there is no cycle to look for.
                let may_return = places.get(&to).is_some_and(|place| *place >= places[from]);
                if !may_return || !self.first.contains(&class) {
                    continue;
                }
                let way_back = self.way_back(graph, &places, to, *from, &mut steps_left);
                let Some(mut walk) = way_back else { continue };
                walk.insert(0, (*from, class));
                for cycle in simple_cycles(walk) {
                    let kind = kind_of(&cycle);
                    if found.get(&kind).is_none_or(|known| known.len() > cycle.len()) {
                        found.insert(kind, cycle);
                    }
                }
            }
        }
    }

    /// A shortest walk from `start` to `goal`: its nodes but the goal, each with the class of the
    /// edge to the next.
    fn way_back(
        &self,
        graph: &Graph<'_>,
        places: &Places,
        start: usize,
        goal: usize,
        steps_left: &mut usize,
    ) -> Option<Cycle> {
        let first: State = (start, !self.another_rw);
        let mut origins: HashMap<State, (State, Class)> = HashMap::new();
        let mut frontier = VecDeque::from([first]);
        while let Some(state) = frontier.pop_front() {
            *steps_left = steps_left.checked_sub(1)?;
            for (to, class) in graph.from(state.0) {
                let leads_on = places.get(&to).is_some_and(|place| *place >= places[&goal]);
                let next: State = (to, state.1 || class.is_rw());
                let known = next == first || origins.contains_key(&next);
                if !leads_on || known || !self.back.contains(&class) {
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

/// A node, and whether an anti-dependency that was still wanted lies on the way to it.
type State = (usize, bool);

fn walk(origins: &HashMap<State, (State, Class)>, first: State, last: State) -> Cycle {
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

/// Strongly connected components, each before those that lead to it, found without recursion: a
/// tangle may be as long as the history.
#[derive(Default)]
struct Components {
    found: Vec<Vec<usize>>,
    order: HashMap<usize, usize>,
    low: HashMap<usize, usize>,
    stack: Vec<usize>,
    on_stack: HashMap<usize, bool>,
}

impl Components {
    fn of(nodes: Vec<usize>, targets: impl Fn(usize) -> Vec<usize>) -> Self {
        let mut components = Components::default();
        for root in nodes {
            if !components.order.contains_key(&root) {
                components.descend(root, &targets);
            }
        }
        components
    }

    /// The place of each node's component among all.
    fn places(&self) -> Places {
        let numbered = (0..).zip(&self.found);
        numbered.flat_map(|(place, nodes)| nodes.iter().map(move |node| (*node, place))).collect()
    }

    fn enter(&mut self, node: usize) {
        let next = self.order.len();
        self.order.insert(node, next);
        self.low.insert(node, next);
        self.stack.push(node);
        self.on_stack.insert(node, true);
    }

    fn lower(&mut self, node: usize, to: usize) {
        if let Some(low) = self.low.get_mut(&node) {
            *low = to.min(*low);
        }
    }

    fn descend(&mut self, root: usize, targets: &impl Fn(usize) -> Vec<usize>) {
        self.enter(root);
        let mut path = vec![(root, targets(root).into_iter())];
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            match rest.next() {
                Some(to) => match self.order.get(&to).copied() {
                    None => {
                        self.enter(to);
                        path.push((to, targets(to).into_iter()));
                    }
                    Some(order) if self.on_stack[&to] => self.lower(node, order),
                    Some(_) => {}
                },
                None => {
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        self.lower(*parent, self.low[&node]);
                    }
                    self.close(node);
                }
            }
        }
    }

    fn close(&mut self, node: usize) {
        if self.low[&node] != self.order[&node] {
            return;
        }
        let begin = self.stack.iter().rposition(|member| *member == node).expect("on the stack");
        let component = self.stack.split_off(begin);
        for member in &component {
            self.on_stack.insert(*member, false);
        }
        self.found.push(component);
    }
}
