//! Strongly connected components after Tarjan ("Depth-first search and linear graph algorithms",
//! 1972), without recursion: a component may be as long as the history.

/// Where the edges of each node lead to.
pub(super) type Targets = Vec<Vec<usize>>;

/// The number of each node's component. An edge never leads to a greater number.
pub(super) fn components(targets: &Targets) -> Vec<usize> {
    let mut search = Search {
        targets,
        order: vec![UNSEEN; targets.len()],
        low: vec![UNSEEN; targets.len()],
        component: vec![UNSEEN; targets.len()],
        stack: Vec::new(),
        entered: 0,
        closed: 0,
    };
    for root in 0..targets.len() {
        if search.order[root] == UNSEEN {
            search.descend(root);
        }
    }
    search.component
}

/// The components of at least two nodes, each with its nodes in ascending order.
pub(super) fn tangles(targets: &Targets) -> Vec<Vec<usize>> {
    let component = components(targets);
    let mut nodes: Vec<usize> = (0..targets.len()).collect();
    nodes.sort_by_key(|node| (component[*node], *node));
    let groups = nodes.chunk_by(|left, right| component[*left] == component[*right]);
    groups.filter(|group| group.len() > 1).map(<[usize]>::to_vec).collect()
}

const UNSEEN: usize = usize::MAX;

struct Search<'a> {
    targets: &'a Targets,
    /// When each node was entered.
    order: Vec<usize>,
    /// The earliest entered node known to be reachable from it, among those of no component yet.
    low: Vec<usize>,
    component: Vec<usize>,
    /// Nodes of no component yet.
    stack: Vec<usize>,
    entered: usize,
    closed: usize,
}

impl Search<'_> {
    fn enter(&mut self, node: usize) {
        (self.order[node], self.low[node]) = (self.entered, self.entered);
        self.entered += 1;
        self.stack.push(node);
    }

    fn descend(&mut self, root: usize) {
        self.enter(root);
        let mut path = vec![(root, 0)];
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if let Some(to) = self.targets[node].get(*next).copied() {
                *next += 1;
                if self.order[to] == UNSEEN {
                    self.enter(to);
                    path.push((to, 0));
                } else if self.component[to] == UNSEEN {
                    self.low[node] = self.low[node].min(self.order[to]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                self.low[*parent] = self.low[*parent].min(self.low[node]);
            }
            if self.low[node] == self.order[node] {
                self.close(node);
            }
        }
    }

    fn close(&mut self, node: usize) {
        while let Some(member) = self.stack.pop() {
            self.component[member] = self.closed;
            if member == node {
                break;
            }
        }
        self.closed += 1;
    }
}
