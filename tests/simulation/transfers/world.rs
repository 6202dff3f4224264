//! All shards and the network between them, driven by dice or by a script.

use std::collections::{BTreeMap, BTreeSet};

use blockdb::disk::simulated::{CrashMode, SimDisk};
use blockdb::host::Clock;
use blockdb::host::simulated::{Dice, SimClock, SimRandom};
use blockdb::shard::two_phase::{PrepareTerms, PreparedInfo, TxnId, Verdict};
use blockdb::{Code, Error};

use super::super::images::Crash;
use super::super::{Machine, mixed};
use super::coordinator::{Answer, Message, Running};
use super::judge::Figures;
use super::node::{Leg, Node, Shards};
use super::{ACCOUNTS, PATIENCE_US, SHARDS};

/// Transfers under way at a time.
const RUNNING_MAX: usize = 3;
/// Messages on their way at a time; beyond, the oldest are lost.
const MESSAGES_MAX: usize = 24;

/// What the judge knows of a transfer.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub legs: Vec<Leg>,
    pub participants: BTreeSet<u32>,
    /// What was answered, once anything was.
    pub told: Option<Verdict>,
}

/// All of it.
pub struct World {
    /// The shards.
    pub nodes: Vec<Node>,
    /// Everybody's clock.
    pub clock: SimClock,
    /// What happened.
    pub figures: Figures,
    pub(super) dice: Dice,
    network: Vec<Message>,
    running: Vec<Running>,
    pub(super) begun: BTreeMap<TxnId, Begun>,
    told: Vec<String>,
}

impl World {
    /// Three shards on machines like `machine`, whose clock is everybody's.
    pub fn new(machine: &Machine, seed: u64) -> Result<Self, String> {
        let shards = Shards::default();
        let node = |number: u32| {
            let disk = SimDisk::new();
            Node::new(number, machine.with_disk(disk, mixed(seed, u64::from(number))), &shards)
        };
        let nodes = (0..SHARDS).map(node).collect::<Result<Vec<_>, _>>();
        Ok(World {
            nodes: nodes.map_err(|error| format!("making the shards: {error}"))?,
            clock: machine.clock.clone(),
            figures: Figures::default(),
            dice: Dice::new(mixed(seed, 77)),
            network: Vec::new(),
            running: Vec::new(),
            begun: BTreeMap::new(),
            told: Vec::new(),
        })
    }

    /// What was done last, for a report.
    pub fn story(&self) -> String {
        let from = self.told.len().saturating_sub(40);
        self.told[from..].join("\n    ")
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
    }

    /// Begins a transfer; its Prepares are on their way.
    pub fn begin(&mut self, legs: Vec<Leg>) -> TxnId {
        let txn = TxnId::new(self.clock.wall_us(), &SimRandom::new(self.dice.bits()));
        let participants: BTreeSet<u32> = legs.iter().map(|leg| leg.shard).collect();
        let home = legs[0].shard;
        let terms = PrepareTerms {
            txn,
            attempt: 1,
            home,
            own: home,
            participants: participants.iter().copied().collect(),
        };
        self.tell(format!("begin {txn} at home {home}: {legs:?}"));
        let running = Running {
            terms,
            legs: legs.clone(),
            digests: BTreeMap::new(),
            wants_abort: false,
            decided: None,
            resolved: BTreeSet::new(),
        };
        self.begun.insert(txn, Begun { legs, participants, told: None });
        self.network.extend(running.messages());
        self.running.push(running);
        txn
    }

    /// Everything the coordinator still wants of a transfer.
    pub fn wanted(&self, txn: TxnId) -> Vec<Message> {
        let running = self.running.iter().find(|running| running.terms.txn == txn);
        running.map(Running::messages).unwrap_or_default()
    }

    /// Makes the coordinator want a transfer aborted, if it may still.
    pub fn give_up(&mut self, txn: TxnId) {
        if let Some(running) = self.running.iter_mut().find(|running| running.terms.txn == txn) {
            running.wants_abort = true;
        }
    }

    /// The coordinator forgets everything; its messages are on their way.
    pub fn crash_coordinator(&mut self) {
        self.tell("the coordinator crashes".to_owned());
        self.running.clear();
    }

    /// Delivers a message and its answer. True if the node failed and has to be started again.
    pub fn deliver(&mut self, message: &Message, answer_lost: bool) -> Result<bool, String> {
        let (txn, to) = (message.txn(), message.to());
        let node = &self.nodes[to as usize];
        let answer = match message {
            Message::Prepare(terms, legs) => node.prepare(terms, legs).map(Answer::Prepared),
            Message::Decide(_, _, verdict, shares) => {
                let decided = node.shard().decide(txn, *verdict, 1, shares.clone());
                decided.map(|(verdict, time_us)| Answer::Decided(verdict, time_us))
            }
            Message::Resolve(_, _, verdict, decided_us) => {
                let resolved = node.shard().resolve(txn, *verdict, *decided_us);
                resolved.map(|_| Answer::Resolved)
            }
            Message::Acknowledge(..) => {
                node.shard().acknowledge(txn).map(|()| Answer::Acknowledged)
            }
        };
        let said = match &answer {
            Ok(answer) => format!("{answer:.40?}"),
            Err(error) => error.to_string(),
        };
        self.tell(format!("{message:.120?} -> {said}"));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if failed(&error) => return Ok(true),
            Err(error) => {
                self.check_refusal(message, &error)?;
                if error.code() == Code::LockTimeout && !self.dice.chance(1, 6) {
                    // It tries again.
                    return Ok(false);
                }
                Answer::Refused
            }
        };
        if let Answer::Decided(verdict, _) = answer {
            self.note_told(txn, verdict)?;
        }
        if !answer_lost {
            self.note_answer(message, answer);
        }
        Ok(false)
    }

    fn check_refusal(&mut self, message: &Message, error: &Error) -> Result<(), String> {
        let fair = match (message, error.code()) {
            (Message::Prepare(..), Code::Conflict | Code::TransactionExpired) => {
                self.figures.late += 1;
                true
            }
            (Message::Prepare(..), Code::LockTimeout) => true,
            (Message::Decide(..), Code::TransactionExpired) => true,
            _ => false,
        };
        match fair {
            true => Ok(()),
            false => Err(format!("{message:?} was refused: {error}")),
        }
    }

    /// The first answer is the truth.
    fn note_told(&mut self, txn: TxnId, verdict: Verdict) -> Result<(), String> {
        let begun = self.begun.get_mut(&txn).expect("only what was begun is decided");
        match begun.told.replace(verdict) {
            Some(before) if before != verdict => {
                Err(format!("transaction {txn} was {before}, and now it was {verdict}"))
            }
            Some(_) => Ok(()),
            None => {
                match verdict {
                    Verdict::Commit => self.figures.committed += 1,
                    Verdict::Abort => self.figures.aborted += 1,
                }
                Ok(())
            }
        }
    }

    fn note_answer(&mut self, message: &Message, answer: Answer) {
        let txn = message.txn();
        let Some(at) = self.running.iter().position(|running| running.terms.txn == txn) else {
            return;
        };
        let running = &mut self.running[at];
        match answer {
            Answer::Prepared(digest) => drop(running.digests.insert(message.to(), digest)),
            Answer::Decided(verdict, time_us) => running.decided = Some((verdict, time_us)),
            Answer::Resolved => drop(running.resolved.insert(message.to())),
            Answer::Refused if matches!(message, Message::Prepare(..)) => {
                running.wants_abort = true;
            }
            // Whoever has it prepared asks home.
            Answer::Acknowledged | Answer::Refused => drop(self.running.swap_remove(at)),
        }
    }

    /// Does something, whatever it is.
    pub fn step(&mut self) -> Result<(), String> {
        self.clock.advance_us(1_000);
        match self.dice.below(100) {
            0..10 if self.running.len() < RUNNING_MAX => {
                let legs = self.any_legs();
                self.begin(legs);
            }
            0..20 => self.send_again(),
            20..79 => self.deliver_any()?,
            79..82 => self.hurry()?,
            82..84 => self.crash_coordinator(),
            84..86 => {
                if let Some(running) = pick(&mut self.dice, &mut self.running) {
                    running.wants_abort = true;
                }
            }
            86..92 => self.settle_one()?,
            92..94 => self.disturb()?,
            94..97 => self.work()?,
            97 => self.let_time_pass(),
            _ => {}
        }
        while self.network.len() > MESSAGES_MAX {
            self.network.remove(0);
        }
        self.look()
    }

    fn any_legs(&mut self) -> Vec<Leg> {
        let dice = &mut self.dice;
        let from = dice.below(u64::from(SHARDS)) as u32;
        let count = 2 + dice.below(2) as u32;
        let delta = 1 + dice.below(50) as i64;
        let mut legs: Vec<Leg> = (0..count)
            .map(|number| {
                let shard = (from + number) % SHARDS;
                Leg { shard, account: dice.below(ACCOUNTS), delta }
            })
            .collect();
        legs[0].delta = -delta * i64::from(count - 1);
        if dice.chance(1, 3) {
            // Within a shard, too.
            let (shard, account) = (legs[0].shard, (legs[0].account + 1) % ACCOUNTS);
            legs.push(Leg { shard, account, delta: 7 });
            legs[1].delta -= 7;
        }
        legs
    }

    fn send_again(&mut self) {
        if let Some(running) = pick(&mut self.dice, &mut self.running) {
            let messages = running.messages();
            self.network.extend(messages);
        }
    }

    fn deliver_any(&mut self) -> Result<(), String> {
        if self.network.is_empty() {
            self.send_again();
            return Ok(());
        }
        // Mostly the newest ones, so that transfers come to an end beside all that is late.
        let count = self.network.len() as u64;
        let among = if self.dice.chance(2, 3) { count.min(4) } else { count };
        let at = (count - 1 - self.dice.below(among)) as usize;
        let message = self.network[at].clone();
        if !self.dice.chance(1, 5) {
            self.network.remove(at);
        }
        let lost = self.dice.chance(1, 10);
        if self.deliver(&message, lost)? {
            self.revive(message.to())?;
        } else if self.dice.chance(2, 3) {
            let next = self.wanted(message.txn());
            self.network.extend(next);
        }
        Ok(())
    }

    /// A node that failed starts again from what the power left it.
    pub fn revive(&mut self, number: u32) -> Result<(), String> {
        let power = CrashMode::HONEST[self.dice.below(4) as usize];
        let crash = Crash { power: Some(power), seed: self.dice.bits() };
        self.crash_node(number, crash)
    }

    /// A node crashes and starts again.
    pub fn crash_node(&mut self, number: u32, crash: Crash) -> Result<(), String> {
        self.tell(format!("node {number} crashes: {crash}"));
        self.figures.crashes += 1;
        let node = &mut self.nodes[number as usize];
        node.crash(crash).map_err(|error| format!("node {number} after {crash}: {error}"))?;
        self.figures.survived += node.shard().prepared().len() as u64;
        self.check_locks()
    }

    /// A node is restarted or killed while nothing is under way: everything is as it was.
    fn disturb(&mut self) -> Result<(), String> {
        let number = self.dice.below(u64::from(SHARDS)) as u32;
        let node = &mut self.nodes[number as usize];
        if self.dice.chance(1, 2) {
            let budget = self.dice.below(14);
            node.machine.disk.crash_at(node.machine.disk.ops() + budget);
            self.tell(format!("node {number} loses power in {budget} operations"));
            return Ok(());
        }
        self.restart(number)
    }

    /// An orderly restart, or a kill, changes nothing.
    pub fn restart(&mut self, number: u32) -> Result<(), String> {
        if self.nodes[number as usize].shard().env.check_healthy().is_err() {
            return self.revive(number);
        }
        let kill = self.dice.chance(1, 2);
        self.tell(format!("node {number} is {}", if kill { "killed" } else { "reopened" }));
        let node = &mut self.nodes[number as usize];
        let before = node.shard().snapshot().two_phase.clone();
        let again = match kill {
            true => node.crash(Crash { power: None, seed: 0 }),
            false => node.reopen(),
        };
        match again {
            Err(error) if failed(&error) => return self.revive(number),
            again => again.map_err(|error| format!("restarting node {number}: {error}"))?,
        }
        let after = node.shard().snapshot().two_phase.clone();
        self.figures.crashes += 1;
        self.figures.survived += after.prepared().len() as u64;
        match before == after {
            true => self.check_locks(),
            false => Err(format!("node {number}: before {before:?}, after {after:?}")),
        }
    }

    /// Background work of some node.
    fn work(&mut self) -> Result<(), String> {
        let number = self.dice.below(u64::from(SHARDS)) as u32;
        let kind = self.dice.below(3);
        self.work_at(number, kind)
    }

    /// Background work of a node: what is due, all of it, or a restart point.
    pub fn work_at(&mut self, number: u32, kind: u64) -> Result<(), String> {
        let db = self.nodes[number as usize].db();
        let done = match kind {
            0 => db.run_background(),
            1 => db.settle(),
            _ => db.make_restart_point(),
        };
        match done {
            Err(error) if failed(&error) => self.revive(number),
            done => done.map_err(|error| format!("background work of node {number}: {error}")),
        }
    }

    /// A coordinator that does not wait for all digests gets no COMMIT.
    fn hurry(&mut self) -> Result<(), String> {
        let Some(running) = pick(&mut self.dice, &mut self.running) else { return Ok(()) };
        let (txn, home) = (running.terms.txn, running.terms.home);
        let shares = running.shares();
        if shares.iter().all(|share| share.digest.is_some()) {
            return Ok(());
        }
        match self.nodes[home as usize].shard().decide(txn, Verdict::Commit, 1, shares) {
            Err(error) if failed(&error) => self.revive(home),
            Err(error) if matches!(error.code(), Code::Conflict | Code::TransactionExpired) => {
                Ok(())
            }
            Ok((Verdict::Abort, _)) => self.note_told(txn, Verdict::Abort),
            // Decided before, by messages of an earlier round.
            Ok(_) if self.begun[&txn].told == Some(Verdict::Commit) => Ok(()),
            decided => Err(format!("{txn} is decided before all have prepared: {decided:?}")),
        }
    }

    fn let_time_pass(&mut self) {
        let hours = if self.dice.chance(1, 8) { 49 } else { 1 };
        self.tell(format!("{hours} hours pass"));
        self.clock.advance_us(hours * 3_600_000_000);
    }

    /// Delivers what the coordinator wants of a transfer until it wants nothing more. If `forgetful`,
    /// it crashes with the first node that does.
    pub fn carry_out(&mut self, txn: TxnId, forgetful: bool) -> Result<(), String> {
        const ROUNDS_MAX: usize = 20;
        self.network.retain(|message| message.txn() != txn);
        for _ in 0..ROUNDS_MAX {
            let messages = self.wanted(txn);
            if messages.is_empty() {
                return Ok(());
            }
            for message in messages {
                if self.deliver(&message, false)? {
                    self.revive(message.to())?;
                    if forgetful {
                        self.crash_coordinator();
                    }
                }
                self.look()?;
            }
        }
        Err(format!("transfer {txn} does not end: {:?}", self.wanted(txn)))
    }

    /// Delivers the Prepares of a transfer to those of its shards that `wanted` chooses.
    pub fn prepare_at(&mut self, txn: TxnId, wanted: impl Fn(u32) -> bool) -> Result<(), String> {
        for message in self.wanted(txn) {
            if matches!(message, Message::Prepare(..)) && wanted(message.to()) {
                if self.deliver(&message, false)? {
                    self.revive(message.to())?;
                }
                self.look()?;
            }
        }
        Ok(())
    }

    /// Somebody ends a transaction that is prepared somewhere: its home decides.
    fn settle_one(&mut self) -> Result<(), String> {
        let long_ago_us = self.clock.wall_us() - PATIENCE_US;
        let prepared = self.nodes.iter().flat_map(|node| node.shard().prepared());
        let mut waiting: Vec<PreparedInfo> =
            prepared.filter(|info| info.since_us < long_ago_us).collect();
        match pick(&mut self.dice, &mut waiting) {
            Some(info) => {
                let info = info.clone();
                self.settle(&info)
            }
            None => Ok(()),
        }
    }

    fn settle(&mut self, info: &PreparedInfo) -> Result<(), String> {
        let PrepareTerms { txn, home, own, .. } = info.terms;
        let decided = self.nodes[home as usize].shard().decide_for_prepared(info);
        self.tell(format!("node {own} asks home {home} for {txn}: {decided:?}"));
        let (verdict, decided_us) = match decided {
            Err(error) if failed(&error) => return self.revive(home),
            decided => decided.map_err(|error| format!("home {home} asked for {txn}: {error}"))?,
        };
        self.note_told(txn, verdict)?;
        let resolved = self.nodes[own as usize].shard().resolve(txn, verdict, decided_us);
        match resolved {
            Err(error) if failed(&error) => return self.revive(own),
            resolved => drop(resolved.map_err(|error| format!("resolving {txn}: {error}"))?),
        }
        self.figures.settled += 1;
        Ok(())
    }

    /// Everybody works again, and all is ended: transactions, decisions, and what is still on its way.
    pub fn finish(&mut self) -> Result<(), String> {
        self.tell("the end".to_owned());
        for number in 0..SHARDS {
            self.revive(number)?;
        }
        for message in std::mem::take(&mut self.network) {
            self.deliver(&message, true)?;
            self.look()?;
        }
        self.running.clear();
        while let Some(info) = self.nodes.iter().find_map(|node| node.shard().prepared().pop()) {
            self.settle(&info)?;
            self.look()?;
        }
        self.acknowledge_all()?;
        self.judge()
    }

    /// Tells every participant of every decision, and then the home that they know.
    fn acknowledge_all(&mut self) -> Result<(), String> {
        for home in 0..SHARDS as usize {
            let state = self.nodes[home].shard().snapshot();
            for (txn, decision) in state.two_phase.decisions() {
                for share in &decision.shares {
                    let shard = self.nodes[share.shard as usize].shard();
                    let resolved = shard.resolve(txn, decision.verdict, decision.time_us);
                    resolved.map_err(|error| format!("resolving {txn} at the end: {error}"))?;
                }
                let done = self.nodes[home].shard().acknowledge(txn);
                done.map_err(|error| format!("acknowledging {txn}: {error}"))?;
            }
        }
        Ok(())
    }
}

fn pick<'a, T>(dice: &mut Dice, items: &'a mut [T]) -> Option<&'a mut T> {
    let at = dice.below(items.len() as u64) as usize;
    items.get_mut(at)
}

/// The disk failed, or what follows from that.
pub(super) fn failed(error: &Error) -> bool {
    matches!(error.code(), Code::StorageFailed | Code::StorageFull)
}
