//! Three Raft nodes on their logs, over a network of function calls: whoever loses power finds its
//! log again, and all apply the same commands, also after purges and elections.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{Config, OptionalSend, Raft, RaftNetworkFactory, RaftNetworkV2, SnapshotPolicy};
use parking_lot::Mutex;

use super::machine::Machine;
use super::*;
use crate::cluster::{Member, NodeId};
use crate::disk::simulated::CrashMode;

type Node = Raft<TypeConfig, Machine>;
type Nodes = Arc<Mutex<BTreeMap<NodeId, Node>>>;

/// Calls whoever runs under a node's number.
struct Wire {
    nodes: Nodes,
    target: NodeId,
}

impl Wire {
    fn target(&self) -> Result<Node, Unreachable<TypeConfig>> {
        let node = self.nodes.lock().get(&self.target).cloned();
        node.ok_or_else(|| Unreachable::new(&std::io::Error::other("the node is down")))
    }
}

fn remote(error: impl std::error::Error + 'static) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(&error))
}

impl RaftNetworkV2<TypeConfig> for Wire {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.target()?.append_entries(request).await.map_err(remote)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.target()?.vote(request).await.map_err(remote)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, ()>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let installed = self.target()?.install_full_snapshot(vote, snapshot).await;
        installed.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
    }
}

#[derive(Clone)]
struct Wires(Nodes);

impl RaftNetworkFactory<TypeConfig> for Wires {
    type Network = Wire;

    async fn new_client(&mut self, target: NodeId, _: &Member) -> Wire {
        Wire { nodes: self.0.clone(), target }
    }
}

fn config() -> Arc<Config> {
    let config = Config {
        heartbeat_interval: 50,
        election_timeout_min: 200,
        election_timeout_max: 400,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 5,
        ..Config::default()
    };
    Arc::new(config.validate().unwrap())
}

/// Starts node `number` on `disk`.
async fn start(nodes: &Nodes, number: NodeId, disk: &SimDisk, machine: &Machine) -> RaftLog {
    let log = open(&small(disk));
    let store = log.store(1).unwrap();
    let wires = Wires(nodes.clone());
    let node = Node::new(number, config(), wires, store, machine.clone()).await.unwrap();
    nodes.lock().insert(number, node);
    log
}

/// Writes one command through whoever leads, however long that takes.
async fn write(nodes: &Nodes, number: u64) {
    let content = format!("command {number}");
    for _ in 0..200 {
        let running: Vec<Node> = nodes.lock().values().cloned().collect();
        for node in running {
            let command = Command::new(content.clone().into(), Bytes::new(), [0; 16]).unwrap();
            let wait = Duration::from_secs(2);
            let written = TypeConfig::timeout(wait, node.client_write(command)).await;
            if written.is_ok_and(|written| written.is_ok()) {
                return;
            }
        }
        TypeConfig::sleep(Duration::from_millis(50)).await;
    }
    panic!("command {number} was not committed");
}

/// The commands of a machine, each once: what a timeout left unknown may have been written twice.
fn applied(machine: &Machine) -> Vec<Bytes> {
    let mut seen = BTreeSet::new();
    machine.commands().into_iter().filter(|command| seen.insert(command.clone())).collect()
}

async fn run() {
    let nodes = Nodes::default();
    let mut disks: BTreeMap<NodeId, SimDisk> = (1..=3).map(|number| (number, disk())).collect();
    let machines: BTreeMap<NodeId, Machine> =
        (1..=3).map(|number| (number, Machine::default())).collect();
    let mut logs = BTreeMap::new();
    for (number, disk) in &disks {
        logs.insert(*number, start(&nodes, *number, disk, &machines[number]).await);
    }
    let members: BTreeMap<NodeId, Member> =
        (1..=3).map(|number| (number, Member::new(format!("{number}"), "").unwrap())).collect();
    let first = nodes.lock()[&1].clone();
    first.initialize(members).await.unwrap();
    let mut number = 0;
    for round in 0..6 {
        for _ in 0..15 {
            write(&nodes, number).await;
            number += 1;
        }
        let victim = 1 + round % 3;
        let node = nodes.lock().remove(&victim).unwrap();
        if round % 2 > 0 {
            let upto = node.metrics().borrow_watched().last_applied.map_or(0, |last| last.index);
            node.trigger().snapshot().await.unwrap();
            TypeConfig::sleep(Duration::from_millis(50)).await;
            node.trigger().purge_log(upto).await.unwrap();
        }
        node.shutdown().await.unwrap();
        drop((node, logs.remove(&victim)));
        for _ in 0..3 {
            write(&nodes, number).await;
            number += 1;
        }
        let lost = disks[&victim].crash_image(CrashMode::HONEST[round as usize % 4], round);
        disks.insert(victim, lost);
        let log = start(&nodes, victim, &disks[&victim], &machines[&victim]).await;
        logs.insert(victim, log);
    }
    let expected: Vec<Bytes> = (0..number).map(|n| format!("command {n}").into()).collect();
    for _ in 0..200 {
        if machines.values().all(|machine| applied(machine) == expected) {
            break;
        }
        TypeConfig::sleep(Duration::from_millis(50)).await;
    }
    for machine in machines.values() {
        assert_eq!(applied(machine), expected);
    }
    let running: Vec<Node> = nodes.lock().values().cloned().collect();
    for node in running {
        node.shutdown().await.unwrap();
    }
}

#[test]
fn three_nodes_that_lose_power_in_turn_apply_the_same_commands() {
    TypeConfig::run(run());
}
