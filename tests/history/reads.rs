//! Reads that no order explains, each judged for itself: values from nowhere, aborted and
//! intermediate reads, own writes not seen, records on the wrong side of a predicate.

use std::collections::{HashMap, HashSet};

use super::versions::{Writers, foreign};
use super::{End, History, Kind, Op, Report, Seen};

/// Judges the reads of all committed transactions; writers are those of registers, then of lists.
pub(super) fn judge<'h>(
    history: &'h History,
    committed: &[bool],
    [written, appended]: [&Writers<'h>; 2],
    report: &mut Report,
) {
    for (index, transaction) in history.transactions.iter().enumerate() {
        if committed[index] {
            let reader = Reader { history, index, report: &mut *report };
            reader.judge(&transaction.ops, written, appended);
        }
    }
}

/// The reads of one committed transaction, judged one by one.
struct Reader<'a, 'h> {
    history: &'h History,
    index: usize,
    report: &'a mut Report,
}

impl<'h> Reader<'_, 'h> {
    fn judge(mut self, ops: &'h [Op], written: &Writers<'h>, appended: &Writers<'h>) {
        let mut own: HashMap<&str, i64> = HashMap::new();
        let mut own_elements: HashMap<&str, Vec<i64>> = HashMap::new();
        for op in ops {
            match op {
                Op::Write { key, value, .. } => {
                    own.insert(key, *value);
                }
                Op::Append { key, element } => {
                    own_elements.entry(key).or_default().push(*element);
                }
                Op::Read { key, seen } => match own.get(key.as_str()) {
                    Some(own) => self.own(key, *own, seen.map(|seen| seen.value)),
                    None => {
                        if let Some(seen) = seen {
                            self.foreign(key, seen.value, true, written);
                        }
                    }
                },
                Op::ReadList { key, elements } => {
                    let own = own_elements.get(key.as_str()).map_or(&[][..], Vec::as_slice);
                    self.list(key, elements, own, appended);
                }
                Op::ReadWhere { predicate, matched, unmatched } => {
                    for (key, seen) in matched.iter().chain(unmatched) {
                        match own.get(key.as_str()) {
                            Some(own) => self.own(key, *own, Some(seen.value)),
                            None => self.foreign(key, seen.value, true, written),
                        }
                    }
                    let is_right =
                        |(key, seen): &&(String, Seen)| predicate.selects(key, seen.value);
                    let is_wrong = |found: &&(String, Seen)| {
                        written.contains_key(&(&*found.0, found.1.value)) && !is_right(found)
                    };
                    let wrong = matched.iter().find(is_wrong);
                    let wrong = wrong.or_else(|| unmatched.iter().find(is_right));
                    if let Some((key, seen)) = wrong {
                        let what = format!("{key}={} on the wrong side of a predicate", seen.value);
                        self.tell(Kind::Contradiction, &[], &what);
                    }
                    let mut selected = HashSet::new();
                    if let Some((key, _)) = matched.iter().find(|(key, _)| !selected.insert(&**key))
                    {
                        let what = format!("{key} twice by one predicate");
                        self.tell(Kind::Contradiction, &[], &what);
                    }
                    for (key, value) in &own {
                        if predicate.selects(key, *value) && !selected.contains(key) {
                            let what = format!("no {key} by a predicate after it wrote {value}");
                            self.tell(Kind::Internal, &[], &what);
                        }
                    }
                }
            }
        }
    }

    fn tell(&mut self, kind: Kind, others: &[usize], what: &str) {
        let id = |index: &usize| self.history.transactions[*index].id;
        let ids = std::iter::once(&self.index).chain(others).map(id).collect();
        let reason = format!("T{} read {what}", id(&self.index));
        self.report.tell(kind, ids, reason);
    }

    fn own(&mut self, key: &str, own: i64, found: Option<i64>) {
        if found != Some(own) {
            let found = found.map_or("nothing".to_owned(), |found| found.to_string());
            self.tell(Kind::Internal, &[], &format!("{found} of {key} after it wrote {own}"));
        }
    }

    /// A value read of another transaction; `newest` if nothing lay over it.
    fn foreign(&mut self, key: &'h str, value: i64, newest: bool, writers: &Writers<'h>) {
        let Some(written) = writers.get(&(key, value)) else {
            self.tell(Kind::Unwritten, &[], &format!("{key}={value}, which nobody wrote"));
            return;
        };
        if written.by == self.index {
            if newest {
                let what = format!("{key}={value} before it wrote that itself");
                self.tell(Kind::Internal, &[], &what);
            }
            return;
        }
        let writer = &self.history.transactions[written.by];
        if writer.end == End::Aborted {
            let what = format!("{key}={value}, which T{} wrote and rolled back", writer.id);
            self.tell(Kind::G1a, &[written.by], &what);
        } else if newest && written.overwritten {
            let what = format!("{key}={value}, which T{} itself wrote over", writer.id);
            self.tell(Kind::G1b, &[written.by], &what);
        }
    }

    fn list(&mut self, key: &'h str, elements: &[i64], own: &[i64], appended: &Writers<'h>) {
        if !elements.ends_with(own) {
            let what = format!("{key}={elements:?} after it appended {own:?}");
            self.tell(Kind::Internal, &[], &what);
        }
        let foreign = foreign(elements, own);
        for (place, element) in foreign.iter().enumerate() {
            let newest = place + 1 == foreign.len();
            self.foreign(key, *element, newest, appended);
        }
    }
}
