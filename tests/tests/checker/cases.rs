//! Histories made by hand: wrong ones with what is wrong, in the order of the phenomena; such as
//! only real time forbids; and good ones, some of which look suspicious. Many are those of
//! Hermitage (Martin Kleppmann's tests of what databases keep apart), in the notation of the room.

use blockdb_tests::history::Kind::{
    self, Contradiction, G0, G1a, G1b, G1c, G2, G2Item, GSingle, Internal, OTV, P4, PMP, Unwritten,
};

/// What it is, the history, and the kinds to be found.
pub type Case = (&'static str, &'static str, &'static [Kind]);

/// No serial order explains them.
pub const BAD: &[Case] = &[
    // Write cycles.
    (
        "two wrote two keys in opposite orders",
        "w1(x=1@1) w2(x=2@2) w2(y=2@1) w1(y=1@2) c1 c2",
        &[G0],
    ),
    (
        "three wrote three keys in a ring",
        "w1(x=1@1) w2(x=2@2) w2(y=2@1) w3(y=3@2) w3(z=3@1) w1(z=1@2) c1 c2 c3",
        &[G0],
    ),
    ("appends of two stand interleaved", "p1(x+1) p2(x+2) p1(x+3) c1 c2 l3(x=1,2,3) c3", &[G0]),
    // Aborted reads.
    ("a rolled back value was read", "w1(x=1) r2(x=1) c2 a1", &[G1a]),
    ("a rolled back element was read", "p1(x+1) l2(x=1) c2 a1", &[G1a]),
    ("a rolled back element stays in the list", "p1(x+1) a1 p2(x+2) c2 l3(x=1,2) c3", &[G1a]),
    ("a rolled back record was selected", "w1(x=5) q2(a..z 0..9: x=5) c2 a1", &[G1a]),
    (
        "a rolled back record was looked at and not selected",
        "w1(x=50) q2(a..z 0..9: ; x=50) c2 a1",
        &[G1a],
    ),
    // Intermediate reads.
    ("a value was read that its writer wrote over", "w1(x=1) r2(x=1) w1(x=2) c1 c2", &[G1b]),
    (
        "a list was read between two appends of one transaction",
        "p1(x+1) l2(x=1) p1(x+2) c1 c2 l3(x=1,2) c3",
        &[G1b],
    ),
    (
        "a record was selected that its writer wrote over",
        "w1(x=5) q2(a..z 0..9: x=5) w1(x=50) c1 c2",
        &[G1b],
    ),
    // Circular information flow.
    ("two read each other's writes", "w1(x=1) w2(y=1) r1(y=1) r2(x=1) c1 c2", &[G1c]),
    ("one read of whoever wrote over it", "w1(x=1@1) w2(x=2@2) w2(y=3) r1(y=3) c1 c2", &[G1c]),
    ("three read in a ring", "w1(x=1) r2(x=1) w2(y=1) r3(y=1) w3(z=1) r1(z=1) c1 c2 c3", &[G1c]),
    ("two read each other's appends", "p1(x+1) p2(y+1) l1(y=1) l2(x=1) c1 c2", &[G1c]),
    (
        "the outcome of one of them is known by its reader alone",
        "w1(x=1) w2(y=1) r1(y=1) r2(x=1) c2 u1",
        &[G1c],
    ),
    (
        "two selected each other's records",
        "w1(b=1) w2(y=2) q1(x..z 0..9: y=2) q2(a..c 0..9: b=1) c1 c2",
        &[G1c],
    ),
    // What was seen of a transaction vanishes.
    (
        "an observed transaction vanishes",
        "w1(x=11) w1(y=19) w2(x=12) c1 r3(x=12) r3(y=19) w2(y=18) c2 c3",
        &[OTV],
    ),
    (
        "a predicate misses what its reader knows to be committed",
        "w9(x=5) w9(s=1) c9 r1(s=1) q1(x..y 0..9: ) c1",
        &[OTV],
    ),
    (
        "a predicate saw that a record left its range, a read by key did not",
        "w9(x=5) c9 w1(x=50) w1(y=1) c1 q2(x..y 0..9: ; x=50) r2(y) c2",
        &[OTV],
    ),
    ("a key is read as it was before", "w1(x=1) c1 r2(x=1) r2(x) c2", &[OTV]),
    (
        "a list is read without what was seen of its writer",
        "p1(x+1) p1(y+1) c1 l2(x=1) l2(y=) c2",
        &[OTV],
    ),
    (
        "what a third transaction had seen vanishes",
        "r1(z) w2(x=1) c2 r3(x=1) w3(y=1) c3 r1(y=1) r1(x) c1",
        &[OTV],
    ),
    (
        "a record is read by key and then not selected",
        "r3(z) w1(x=5) c1 w2(x=50) c2 r3(x=5) q3(x..y 0..9: ) c3",
        &[OTV],
    ),
    // Two reads by predicate disagree.
    (
        "a predicate finds more the second time",
        "q1(a..z 0..9: ) w2(x=5) c2 q1(a..z 0..9: x=5) c1",
        &[PMP],
    ),
    (
        "a predicate finds what a narrower one had not",
        "w9(x=10) w9(y=20) c9 q1(a..z 30..30: ) w2(w=30) c2 q1(a..z 0..30: w=30, x=10, y=20) c1",
        &[PMP],
    ),
    (
        "a predicate finds less the second time",
        "w9(x=5) c9 q1(a..z 0..9: x=5) w2(x=50) c2 q1(a..z 0..9: ; x=50) c1",
        &[PMP],
    ),
    (
        "a predicate finds a record as somebody changed it after it came",
        "q1(a..z 0..9: ) w2(x=5) c2 w3(x=6) c3 q1(a..z 0..9: x=6) c1",
        &[PMP],
    ),
    (
        "of two records that came, the second read looks at one",
        "q1(a..z 0..9: ) w2(x=5) w2(y=6) c2 q1(y..z 0..9: y=6) c1",
        &[PMP],
    ),
    // An update is lost.
    ("lost update", "w9(x=0) c9 r1(x=0) r2(x=0) w1(x=1) c1 w2(x=2) c2", &[P4]),
    ("lost first insert", "r1(x) r2(x) w1(x=1) c1 w2(x=2) c2", &[P4]),
    ("lost append", "l1(x=) l2(x=) p1(x+1) p2(x+2) c1 c2 l3(x=1,2) c3", &[P4]),
    ("lost appends nobody read", "l1(x=) l2(x=) p1(x+1) p2(x+2) c1 c2", &[P4]),
    (
        "two updates are lost under a third",
        "w9(x=0) c9 r1(x=0) w2(x=1) c2 r3(x=1) w3(x=2) c3 w1(x=3) c1",
        &[P4],
    ),
    (
        "a record selected is written over unseen",
        "w9(x=5) c9 q1(a..z 0..9: x=5) w2(x=6) c2 w1(x=7) c1",
        &[P4],
    ),
    (
        "an update is lost of which nobody told",
        "w9(x=0@1) c9 w3(x=1@?) u3 r1(x=0) w1(x=2@3) c1",
        &[P4],
    ),
    // Another cycle with one anti-dependency.
    ("read skew", "w9(x=0) w9(y=0) c9 r1(x=0) w2(x=1) w2(y=1) c2 r1(y=1) c1", &[GSingle]),
    ("read skew over absence", "r1(x) w2(x=1) w2(y=1) c2 r1(y=1) c1", &[GSingle]),
    ("read skew of lists nobody else read", "l1(x=) p2(x+1) p2(y+1) c2 l1(y=1) c1", &[GSingle]),
    (
        "read skew over a third transaction",
        "r1(x) w2(x=1) c2 r3(x=1) w3(y=1) c3 r1(y=1) c1",
        &[GSingle],
    ),
    ("a read is not repeated", "w9(x=0) c9 r1(x=0) w2(x=1) c2 r1(x=1) c1", &[GSingle]),
    (
        "a predicate missed that a record entered its range",
        "w9(x=50) c9 q1(a..n 0..9: ) q1(x..y 0..9: ) w2(x=5) w2(y=1) c2 r1(y=1) c1",
        &[GSingle],
    ),
    (
        "a record selected twice has changed within the range",
        "w9(x=5) c9 q1(a..z 0..9: x=5) w2(x=6) c2 q1(a..z 0..9: x=6) c1",
        &[GSingle],
    ),
    (
        "one scan saw one of two records that came at once",
        "w1(x=5) w1(y=5) c1 q2(a..z 0..9: y=5) c2",
        &[GSingle],
    ),
    (
        "a predicate selects by what another changed, and writes",
        "w9(x=10) w9(y=20) c9 r1(x=10) w2(x=12) w2(y=18) c2 q1(a..z 20..20: ; y=18) w1(z=1) c1",
        &[GSingle],
    ),
    (
        "a writer knows itself what it did not select",
        "w9(x=5) c9 w1(x=50) w1(y=1) c1 q2(x..y 0..9: ) r2(y) w2(x=51) c2",
        &[OTV],
    ),
    // Two anti-dependencies by key.
    (
        "write skew",
        "w9(x=0) w9(y=0) c9 r1(x=0) r1(y=0) r2(x=0) r2(y=0) w1(x=1) w2(y=1) c1 c2",
        &[G2Item],
    ),
    ("write skew over absence", "r1(x) r2(y) w1(y=1) w2(x=1) c1 c2", &[G2Item]),
    ("write skew of lists", "l1(x=) l2(y=) p1(y+1) p2(x+1) c1 c2", &[G2Item]),
    ("write skew of three", "r1(x) r2(y) r3(z) w1(z=1) w2(x=1) w3(y=1) c1 c2 c3", &[G2Item]),
    (
        "a reader sees what no order of two writers explains",
        "w9(x=0) w9(y=0) c9 r2(x=0) r2(y=0) r1(y=0) w1(y=20) c1 r3(x=0) r3(y=20) c3 w2(x=-11) c2",
        &[G2Item],
    ),
    (
        "two selected the same record, and each changed the other's",
        "w9(x=1) w9(y=2) c9 q1(a..z 0..9: x=1, y=2) q2(a..z 0..9: x=1, y=2) w1(x=3) w2(y=4) c1 c2",
        &[G2Item],
    ),
    ("long fork", "w1(x=1) c1 w2(y=1) c2 r3(x=1) r3(y) r4(x) r4(y=1) c3 c4", &[G2Item]),
    // Two anti-dependencies, one by predicate.
    (
        "two inserted what the other's scan would have found",
        "q1(a..z 0..9: ) q2(a..z 0..9: ) w1(x=1) w2(y=2) c1 c2",
        &[G2],
    ),
    (
        "two edges and a reader between them",
        "q1(a..z 0..9: ) w2(x=1) c2 q3(a..z 0..9: x=1) c3 w1(y=2) c1",
        &[G2],
    ),
    ("one by predicate, one by key", "q1(a..m 0..9: ) r2(z) w1(z=1) w2(b=2) c1 c2", &[G2]),
    (
        "a record entered the range of one who wrote what the other missed",
        "w9(x=50) c9 q1(x..y 0..9: ; x=50) r2(s) w1(s=1) w2(x=5) c1 c2",
        &[G2],
    ),
    // No graph needed.
    (
        "two lists of one key disagree",
        "p1(x+1) c1 p2(x+2) c2 l3(x=1,2) c3 l4(x=2,1) c4",
        &[Contradiction],
    ),
    ("an element stands twice", "p1(x+1) c1 l2(x=1,1) c2", &[Contradiction]),
    ("a version has two values", "w1(x=5@1) c1 w2(x=6@2) c2 r3(x=6@1) c3", &[Contradiction]),
    ("a value was written twice", "w1(x=5) c1 w2(x=5) c2", &[Contradiction]),
    (
        "a predicate selected what it must not",
        "w1(x=50) c1 q2(a..z 0..9: x=50) c2",
        &[Contradiction],
    ),
    (
        "a predicate selected a record twice",
        "w1(x=5) c1 q2(a..z 0..9: x=5, x=5) c2",
        &[Contradiction],
    ),
    ("a version is missing", "w1(x=1@1) c1 w2(x=3@3) c2", &[Unwritten]),
    (
        "two versions are missing, and one transaction has no answer",
        "w1(x=1@1) c1 w3(x=9@?) u3 w2(x=4@4) c2",
        &[Unwritten],
    ),
    ("a value from nowhere", "r1(x=9@1) c1", &[Unwritten]),
    ("an element from nowhere", "p1(x+1) c1 l2(x=1,9) c2", &[Unwritten]),
    ("a transaction did not see its own write", "w9(x=0) c9 w1(x=1) r1(x=0) c1", &[Internal]),
    ("a transaction found nothing after its own write", "w1(x=1) r1(x) c1", &[Internal]),
    ("a transaction did not see its own append", "p1(x+1) l1(x=) c1", &[Internal]),
    ("a predicate did not select its own record", "w1(x=5) q1(a..z 0..9: ) c1", &[Internal]),
    ("a transaction saw its write before it wrote", "r1(x=1) w1(x=1) c1", &[Internal]),
];

/// Serializable, and still wrong where the order of real time is promised.
pub const LATE: &[Case] = &[
    ("a stale read", "w1(x=1) c1 r2(x) c2", &[GSingle]),
    ("a stale list", "p1(x+1) c1 l2(x=) c2", &[GSingle]),
    ("a stale scan", "w1(x=1) c1 q2(a..z 0..9: ) c2", &[GSingle]),
    ("a write placed before an earlier one", "w1(x=1@2) c1 w2(x=2@1) c2", &[G0]),
    ("a read of the future", "r1(x=1) c1 w2(x=1) c2", &[G1c]),
    (
        "the later of two writes was seen without the earlier",
        "r3(x) w1(x=1) c1 w2(y=1) c2 r3(y=1) c3",
        &[GSingle],
    ),
    (
        "a record had come, gone and come back, and was not found",
        "w1(x=5) c1 w2(x=50) c2 w3(x=6) c3 q4(a..z 0..9: ) c4",
        &[GSingle],
    ),
    (
        "a record is missed, and the one who may have moved it had not begun",
        "w1(x=5) c1 q3(a..z 0..9: ) c3 w2(x=50@?) u2",
        &[GSingle],
    ),
    (
        "two stale reads that only together contradict the order",
        "r2(x) w1(x=1) c1 r3(y) c3 w2(y=1) c2",
        &[G2Item],
    ),
];

/// What it is, and the history.
pub const GOOD: &[(&str, &str)] = &[
    ("nothing", ""),
    ("one after the other", "w1(x=1) c1 r2(x=1) w2(x=2) c2 r3(x=2) c3"),
    ("interleaved without contact", "w1(x=1) w2(y=1) r1(x=1) r2(y=1) c2 c1"),
    ("a reader before a writer that committed first", "r1(x) w2(x=1) c2 r1(z) c1"),
    ("a snapshot of two keys", "r1(x) w2(x=1) w2(y=1) c2 r1(y) c1"),
    ("rolled back and never seen", "w1(x=1) a1 r2(x) c2"),
    ("without an answer and never seen", "w1(x=1@?) u1 r2(x) w2(x=2@1) c2 r3(x=2) c3"),
    ("without an answer and seen", "w1(x=1@?) u1 r2(x=1@1) c2 r3(x=1@1) w3(x=2@2) c3"),
    ("what a rolled back transaction read", "w1(x=1) r2(x=1) a2 a1"),
    ("own writes are seen, over and over", "w1(x=1) r1(x=1) w1(x=2) r1(x=2) c1 r2(x=2) c2"),
    ("own appends are seen", "p1(x+1) c1 p2(x+2) l2(x=1,2) p2(x+3) l2(x=1,2,3) c2 l3(x=1,2,3) c3"),
    ("own records are selected", "w1(x=5) q1(a..z 0..9: x=5) w1(x=50) q1(a..z 0..9: ) c1"),
    ("a read repeated", "w9(x=0) c9 r1(x=0) w2(x=1) c2 r1(x=0) c1"),
    ("appends nobody read", "p1(x+1) c1 l3(x=1) p2(x+2) c2 c3"),
    ("a scan before an insert", "q1(a..z 0..9: ) w2(x=1) c2 c1 q3(a..z 0..9: x=1) c3"),
    ("an insert outside the range", "q1(a..m 0..9: ) q2(n..z 0..9: ) w1(b=2) w2(y=2) c1 c2"),
    ("an insert of another value", "q1(a..z 0..9: ) q2(a..z 0..9: ) w1(x=10) w2(y=20) c1 c2"),
    (
        "a change within the range is no phantom",
        "w9(x=1) c9 q1(a..z 0..9: x=1) c1 w2(x=2) c2 q3(a..z 0..9: x=2) c3",
    ),
    ("one skewed alone", "w9(x=0) w9(y=0) c9 r1(x=0) w1(y=1) c1 r2(y=1) w2(x=1) c2"),
    (
        "a transfer between two accounts",
        "w9(x=100) w9(y=0) c9 r1(x=100) r1(y=0) w1(x=60) w1(y=40) c1 r2(x=60) r2(y=40) c2",
    ),
    ("at one moment neither is before the other", "w1(x=1) r2(x) c1 c2"),
    ("one increment after the other", "w9(x=0) c9 r1(x=0) w1(x=1) c1 r2(x=1) w2(x=2) c2"),
    ("an update lost by whom rolled back", "w9(x=0) c9 r1(x=0) r2(x=0) w1(x=1) c1 w2(x=2@?) a2"),
    ("an update lost by whom nobody answered", "r1(x) r2(x) w1(x=1) c1 w2(x=2@?) u2 r3(x=1) c3"),
    ("a blind write over what was never read", "w9(x=0) c9 w1(x=1) w2(x=2) c2 c1 r3(x=2) c3"),
    ("a gap that an unanswered write explains", "w1(x=1@1) c1 w9(x=2@?) u9 w2(x=3@3) c2"),
    (
        "a record left by a write that was never answered",
        "w1(x=5) c1 w2(x=50@?) u2 q3(a..z 0..9: ) c3",
    ),
    (
        "a record left by a write that was never answered, and came back",
        "w9(x=5@1) c9 w3(x=50@?) u3 q1(a..z 0..9: ) w1(x=6@3) c1 q2(a..z 0..9: x=6) c2",
    ),
    ("a write that came after its client had given up", "w1(x=1@?) u1 r2(x) c2 r3(x=1@1) c3"),
    (
        "two readers in two orders of one snapshot",
        "w1(x=1) w1(y=1) c1 r2(x=1) r2(y=1) c2 r3(y=1) r3(x=1) c3",
    ),
    ("a read from before a concurrent commit", "w9(x=0) c9 w1(x=1) r2(x=0) c1 c2"),
    ("write skew that one of them rolled back", "r1(x) r1(y) r2(x) r2(y) w1(x=1) w2(y=1) c1 a2"),
    (
        "a scan that saw none of two records that came at once",
        "q2(a..z 0..9: ) w1(x=5) w1(y=5) c1 c2",
    ),
    (
        "a predicate found the same twice, while others came outside of it",
        "w9(x=5) c9 q1(a..z 0..9: x=5) w2(y=50) c2 q1(a..z 0..9: x=5) c1",
    ),
    (
        "a record that left and came back was missed between",
        "w1(x=5) c1 w2(x=50) c2 q3(a..z 0..9: ) c3 w4(x=6) c4 q5(a..z 0..9: x=6) c5",
    ),
    (
        "a transaction moves a record it selected, and does not select it any more",
        "w9(x=5) c9 q1(a..z 0..9: x=5) w1(x=50) q1(a..z 0..9: ) w1(x=6) q1(a..z 0..9: x=6) c1",
    ),
    ("a list read by two at once", "p1(x+1) c1 l2(x=1) l3(x=1) p2(x+2) c2 c3 l4(x=1,2) c4"),
    ("blind writes in any order", "w1(x=1@2) w2(x=2@1) c1 c2 r3(x=1) c3"),
];
