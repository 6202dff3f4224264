//! Claims about proofs: the vectors that other implementations share, every pair of sizes against
//! a second implementation written from the RFC's definitions, and the refusal of anything bent.

use std::cell::RefCell;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::tile::{TileSpan, perfect_root, tile_level_hashes, tile_span};
use super::*;
use crate::error::{Code, Error, Result};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn hash(text: &str) -> Hash {
    unhex(text).try_into().unwrap()
}

fn is_violation(outcome: Result<()>) -> bool {
    outcome.is_err_and(|error| error.code() == Code::IntegrityViolation)
}

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const L0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const L1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const L2: &str = "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7";
const L3: &str = "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7";
const L4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const L5: &str = "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658";
const L6: &str = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";
const L7: &str = "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1";
const N24: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const N46: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const N68: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const N48: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

/// The tree as RFC 9162 section 2.1 defines it: recursively, over all leaves, by other hashing
/// code than the room's. Ranges are remembered, or 65,000 proofs would take minutes.
struct Definition {
    leaves: Vec<Vec<u8>>,
    known: RefCell<HashMap<(usize, usize), Hash>>,
}

impl Definition {
    fn new(leaves: Vec<Vec<u8>>) -> Self {
        Definition { leaves, known: RefCell::default() }
    }

    fn shared_vectors() -> Self {
        Definition::new(LEAVES.iter().map(|leaf| unhex(leaf)).collect())
    }

    fn numbered(count: usize) -> Self {
        Definition::new((0..count).map(|n| format!("record {n}").into_bytes()).collect())
    }

    fn tree_hash(&self, start: usize, end: usize) -> Hash {
        if let Some(known) = self.known.borrow().get(&(start, end)) {
            return *known;
        }
        let input = match end - start {
            0 => Vec::new(),
            1 => [&[0], &self.leaves[start][..]].concat(),
            n => {
                let middle = start + split(n);
                [&[1], &self.tree_hash(start, middle)[..], &self.tree_hash(middle, end)].concat()
            }
        };
        let hash = Sha256::digest(input).into();
        self.known.borrow_mut().insert((start, end), hash);
        hash
    }

    fn root(&self, size: usize) -> Hash {
        self.tree_hash(0, size)
    }

    fn path(&self, m: usize, start: usize, end: usize) -> Vec<Hash> {
        let n = end - start;
        if n <= 1 {
            return Vec::new();
        }
        let middle = start + split(n);
        let (mut path, other) = if m < split(n) {
            (self.path(m, start, middle), self.tree_hash(middle, end))
        } else {
            (self.path(m - split(n), middle, end), self.tree_hash(start, middle))
        };
        path.push(other);
        path
    }

    fn subproof(&self, m: usize, start: usize, end: usize, complete: bool) -> Vec<Hash> {
        let n = end - start;
        if m == n {
            return if complete { Vec::new() } else { vec![self.tree_hash(start, end)] };
        }
        let middle = start + split(n);
        let (mut path, other) = if m <= split(n) {
            (self.subproof(m, start, middle, complete), self.tree_hash(middle, end))
        } else {
            (self.subproof(m - split(n), middle, end, false), self.tree_hash(start, middle))
        };
        path.push(other);
        path
    }
}

/// The largest power of two below `n`, found by trying.
fn split(n: usize) -> usize {
    let mut k = 1;
    while 2 * k < n {
        k *= 2;
    }
    k
}

impl HashSource for Definition {
    fn node(&self, level: u8, index: u64) -> Result<Hash> {
        let (start, width) = ((index as usize) << level, 1 << level);
        assert!(start + width <= self.leaves.len(), "only complete subtrees are asked for");
        Ok(self.tree_hash(start, start + width))
    }
}

/// Tiles as they lie on disk: every eighth level, one vector each.
struct Tiles(Vec<Vec<Hash>>);

impl HashSource for Tiles {
    fn node(&self, level: u8, index: u64) -> Result<Hash> {
        let TileSpan { level, first, count } = tile_span(level, index);
        perfect_root(&self.0[level as usize][first as usize..(first + count) as usize])
    }
}

#[test]
fn hashes_are_those_of_other_implementations() {
    assert_eq!(hex(&empty_root()), ROOTS[0]);
    for (leaf, expected) in LEAVES.iter().zip([L0, L1, L2, L3, L4, L5, L6, L7]) {
        assert_eq!(hex(&hash_leaf(&unhex(leaf))), expected);
    }
    let leaf = "101112131415161718191a1b1c1d1e1f";
    let expected = "3bfb960453ebaebf33727da7a1f4db38acc051d381b6da20d6d4e88f0eabfd7a";
    assert_eq!(hex(&hash_leaf(&unhex(leaf))), expected);
    let left: Hash = std::array::from_fn(|n| n as u8);
    let right: Hash = std::array::from_fn(|n| 32 + n as u8);
    let expected = "1a378704c17da31e2d05b6d121c2bb2c7d76f6ee6fa8f983e596c2d034963c57";
    assert_eq!(hex(&hash_node(&left, &right)), expected);
    assert_eq!(hash_node(&hash(L4), &hash(L5)), hash(N46));
    assert_eq!(hash_node(&hash(N46), &hash(N68)), hash(N48));
}

#[test]
fn roots_are_those_of_other_implementations() {
    let definition = Definition::shared_vectors();
    let mut frontier = Frontier::new();
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(hex(&frontier.root()), *root);
        assert_eq!(hex(&root_at(&definition, size as u64).unwrap()), *root);
        assert_eq!(hex(&definition.root(size)), *root);
        if let Some(leaf) = LEAVES.get(size) {
            frontier.push(hash_leaf(&unhex(leaf)));
        }
    }
}

#[test]
fn inclusion_paths_are_those_of_other_implementations() {
    let cases: [(usize, usize, &[&str]); 6] = [
        (0, 1, &[]),
        (0, 8, &[L1, N24, N48]),
        (2, 3, &[ROOTS[2]]),
        (1, 5, &[L0, N24, L4]),
        (3, 5, &[L2, ROOTS[2], L4]),
        (4, 5, &[ROOTS[4]]),
    ];
    for (index, size, path) in cases {
        let path: Vec<Hash> = path.iter().map(|text| hash(text)).collect();
        let made =
            inclusion_path(&Definition::shared_vectors(), index as u64, size as u64).unwrap();
        assert_eq!(made, path);
        let leaf = hash_leaf(&unhex(LEAVES[index]));
        verify_inclusion(&leaf, index as u64, size as u64, &path, &hash(ROOTS[size])).unwrap();
    }
}

#[test]
fn consistency_paths_are_those_of_other_implementations() {
    let cases: [(usize, usize, &[&str]); 7] = [
        (1, 1, &[]),
        (1, 8, &[L1, N24, N48]),
        (2, 5, &[N24, L4]),
        (3, 5, &[L2, L3, ROOTS[2], L4]),
        (4, 5, &[L4]),
        (6, 7, &[N46, L6, ROOTS[4]]),
        (6, 8, &[N46, N68, ROOTS[4]]),
    ];
    for (old, new, path) in cases {
        let path: Vec<Hash> = path.iter().map(|text| hash(text)).collect();
        let made = consistency_path(&Definition::shared_vectors(), old as u64, new as u64).unwrap();
        assert_eq!(made, path);
        let (old_root, new_root) = (hash(ROOTS[old]), hash(ROOTS[new]));
        verify_consistency(old as u64, &old_root, new as u64, &new_root, &path).unwrap();
    }
}

/// Leaf 848,049 of 3,630,887 in a certificate log; published with google/certificate-transparency.
const LONG_PATH: [&str; 22] = [
    "1a208aeebcd1b39fe2de247ee8db9454e1e93a312d206b87f6ca9cc6ec6f1ddd",
    "0a1b78b383f580856f433c01a5741e160d451c185910027f6cc9f828687a40c4",
    "3d1745789bc63f2da15850de1c12a5bf46ed81e1cc90f086148b1662e79aab3d",
    "9095b61e14d8990acf390905621e62b1714fb8e399fbb71de5510e0aef45affe",
    "0a332b91b8fab564e6afd1dd452449e04619b18accc0ff9aa8393cd4928451f2",
    "2336f0181d264aed6d8f3a6507ca14a8d3b3c3a23791ac263e845d208c1ee330",
    "b4ce56e300590500360c146c6452edbede25d4ed83919278749ee5dbe178e048",
    "933f6ddc848ea562e4f9c5cfb5f176941301dad0c6fdb9d1fbbe34fac1be6966",
    "b95a6222958a86f74c030be27c44f57dbe313e5e7c7f4ffb98bcbd3a03bb52f2",
    "daeeb3ce5923defd0faeb8e0c210b753b85b809445d7d3d3cd537a9aabaa9c45",
    "7fadd0a13e9138a2aa6c3fdec4e2275af233b94812784f66bcca9aa8e989f2bc",
    "1864e6ba3e32878610546539734fb5eeae2529991f130c575c73a7e25a2a7c56",
    "12842d1202b1dc6828a17ab253c02e7ce9409b5192430feba44189f39cc02d66",
    "29af64b16fa3053c13d02ac63aa75b23aa468506e44c3a2315edc85d2dc22b11",
    "b527b99934a0bd9edd154e449b0502e2c499bba783f3bc3dfe23364b6b532009",
    "4584db8ae8e351ace08e01f306378a92bfd43611714814f3d834a2842d69faa8",
    "86a9a41573b0d6e4292f01e93243d6cc65b30f06606fc6fa57390e7e90ed580f",
    "a88b98fbe84d4c6aae8db9d1605dfac059d9f03fe0fcb0d5dff1295dacba09e6",
    "06326dc617a6d1f7021dc536026dbfd5fffc6f7c5531d48ef6ccd1ed1569f2a1",
    "f41fe8fdc3a2e4e8345e30216e7ebecffee26ff266eeced208a6c2a3cf08f960",
    "40cf5bde8abb76983f3e98ba97aa36240402975674e120f234b3448911090f8d",
    "b3222dc8658538079883d980d7fdc2bef9285344ea34338968f736b04aeb387a",
];

#[test]
fn a_path_of_22_hashes_from_a_public_log_holds() {
    let path = LONG_PATH.map(hash);
    let leaf = hash("7a395c866d5ecdb0cccb623e011dbc392cd348d1d1d72776174e127a24b09c78");
    let root = hash("78316a05c9bcf14a3a4548f5b854a9adfcd46a4c034401b3ce7eb7ac2f1d0ecb");
    verify_inclusion(&leaf, 848_049, 3_630_887, &path, &root).unwrap();
    assert!(is_violation(verify_inclusion(&leaf, 848_048, 3_630_887, &path, &root)));
}

/// One line of `testdata/merkle.jsonl`; hashes are base64.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct SharedCase {
    name: String,
    want_err: bool,
    proof: Option<Vec<String>>,
    #[serde(default)]
    leaf_idx: u64,
    #[serde(default)]
    tree_size: u64,
    #[serde(default)]
    size1: u64,
    #[serde(default)]
    size2: u64,
    root: Option<String>,
    leaf_hash: Option<String>,
    root1: Option<String>,
    root2: Option<String>,
}

impl SharedCase {
    /// The verdict; hashes of another size than 32 bytes are refused by their type.
    fn holds(&self) -> Option<()> {
        let hash = |text: &String| STANDARD.decode(text).ok()?.try_into().ok();
        let path: Vec<Hash> = self.proof.iter().flatten().map(hash).collect::<Option<_>>()?;
        if let (Some(leaf), Some(root)) = (&self.leaf_hash, &self.root) {
            let (leaf, root) = (hash(leaf)?, hash(root)?);
            return verify_inclusion(&leaf, self.leaf_idx, self.tree_size, &path, &root).ok();
        }
        let (root1, root2) = (hash(self.root1.as_ref()?)?, hash(self.root2.as_ref()?)?);
        verify_consistency(self.size1, &root1, self.size2, &root2, &path).ok()
    }
}

#[test]
fn the_196_cases_of_transparency_dev_are_judged_as_there() {
    // This one accepts a root of 12 bytes; here every hash has 32.
    let exempt = "sizes-are-equal-one-and-proof-is-empty";
    let mut accepted = 0;
    for line in include_str!("testdata/merkle.jsonl").lines() {
        let case: SharedCase = serde_json::from_str(line).unwrap();
        let expected = !case.want_err && !case.name.ends_with(exempt);
        assert_eq!(case.holds().is_some(), expected, "{}", case.name);
        accepted += usize::from(expected);
    }
    assert_eq!(accepted, 11);
}

#[test]
fn another_leafs_path_is_refused_under_a_wrong_index() {
    let definition = Definition::shared_vectors();
    let root = hash(ROOTS[3]);
    for leaf in 0..2 {
        let path = definition.path(leaf, 0, 3);
        assert!(is_violation(verify_inclusion(&hash([L0, L1][leaf]), 2, 3, &path, &root)));
        let cut = &path[..1];
        assert!(is_violation(verify_inclusion(&hash([L0, L1][leaf]), 2, 3, cut, &root)));
    }
}

#[test]
fn the_edges_the_rfc_leaves_open_are_refused() {
    let root = |size: usize| hash(ROOTS[size]);
    assert!(is_violation(verify_consistency(0, &root(0), 1, &root(1), &[])));
    assert!(is_violation(verify_consistency(0, &root(0), 0, &root(0), &[])));
    assert!(is_violation(verify_consistency(3, &root(3), 3, &root(3), &[root(3)])));
    assert!(is_violation(verify_consistency(3, &root(3), 3, &root(4), &[])));
    assert!(is_violation(verify_consistency(5, &root(5), 2, &root(2), &[hash(N24), hash(L4)])));
    assert!(is_violation(verify_consistency(3, &root(3), 4, &root(4), &[])));
    assert!(is_violation(verify_inclusion(&root(0), 0, 0, &[], &root(0))));
    assert!(is_violation(verify_inclusion(&hash(L0), 1, 1, &[], &root(1))));
    let long = vec![root(1); 64];
    assert!(is_violation(verify_inclusion(&hash(L0), 0, u64::MAX, &long, &root(1))));
    assert!(is_violation(verify_inclusion(&hash(L0), u64::MAX - 1, u64::MAX, &long, &root(1))));
    assert!(is_violation(verify_consistency(1, &root(1), u64::MAX, &root(1), &long)));
    assert!(is_violation(verify_consistency(u64::MAX - 1, &root(1), u64::MAX, &root(1), &long)));
    for (old, new) in [(0, 1), (3, 2)] {
        let error = consistency_path(&Definition::shared_vectors(), old, new).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    assert!(inclusion_path(&Definition::shared_vectors(), 3, 3).is_err());
}

#[test]
fn all_sizes_to_256_give_the_paths_of_the_definition_and_no_index_but_the_right_one() {
    let definition = Definition::numbered(256);
    let leaf_hashes: Vec<Hash> = definition.leaves.iter().map(|leaf| hash_leaf(leaf)).collect();
    for size in 1..=256 {
        let root = definition.root(size);
        assert_eq!(root_at(&definition, size as u64).unwrap(), root);
        for index in 0..size {
            let path = inclusion_path(&definition, index as u64, size as u64).unwrap();
            assert_eq!(path, definition.path(index, 0, size), "{index} of {size}");
            assert_eq!(path.len(), merkle::inclusion_length(index as u64, size as u64));
            let verify = |index: usize| {
                let leaf = &leaf_hashes[index % 256];
                verify_inclusion(leaf, index as u64, size as u64, &path, &root)
            };
            verify(index).unwrap();
            for wrong in [index + 1, index ^ 1, index ^ 2, size - 1, size] {
                assert!(wrong == index || is_violation(verify(wrong)), "{wrong} of {size}");
            }
        }
    }
}

#[test]
fn all_pairs_of_sizes_to_256_give_the_consistency_paths_of_the_definition() {
    let definition = Definition::numbered(256);
    for new in 1..=256 {
        let new_root = definition.root(new);
        for old in 1..=new {
            let old_root = definition.root(old);
            let path = consistency_path(&definition, old as u64, new as u64).unwrap();
            assert_eq!(path, definition.subproof(old, 0, new, true), "{old} to {new}");
            verify_consistency(old as u64, &old_root, new as u64, &new_root, &path).unwrap();
            let wrong = old + 1;
            assert!(is_violation(verify_consistency(
                wrong as u64,
                &old_root,
                new as u64,
                &new_root,
                &path
            )));
        }
    }
}

/// Every way to bend a path by one step.
fn bent(path: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for at in 0..path.len() {
        let mut flipped = path.to_vec();
        flipped[at][at % 32] ^= 1 << (at % 8);
        let mut without = path.to_vec();
        without.remove(at);
        all.extend([flipped, without]);
        if at > 0 && path[at] != path[at - 1] {
            let mut swapped = path.to_vec();
            swapped.swap(at, at - 1);
            all.push(swapped);
        }
    }
    for at in 0..=path.len() {
        let mut longer = path.to_vec();
        longer.insert(at, path.first().copied().unwrap_or([7; 32]));
        all.push(longer);
    }
    all
}

#[test]
fn every_path_that_is_changed_cut_lengthened_or_swapped_is_refused() {
    let definition = Definition::numbered(70);
    for size in 1..=70 {
        let (root, n) = (definition.root(size), size as u64);
        for index in 0..size {
            let leaf = definition.tree_hash(index, index + 1);
            let path = definition.path(index, 0, size);
            for path in bent(&path) {
                assert!(is_violation(verify_inclusion(&leaf, index as u64, n, &path, &root)));
            }
            let other = definition.root(size - 1);
            assert!(is_violation(verify_inclusion(&leaf, index as u64, n, &path, &other)));
            let stranger = hash_leaf(b"stranger");
            assert!(is_violation(verify_inclusion(&stranger, index as u64, n, &path, &root)));
        }
        for old in 1..=size {
            let (old_root, m) = (definition.root(old), old as u64);
            let path = definition.subproof(old, 0, size, true);
            for path in bent(&path) {
                assert!(is_violation(verify_consistency(m, &old_root, n, &root, &path)));
            }
            if old < size {
                assert!(is_violation(verify_consistency(m, &root, n, &old_root, &path)));
                assert!(is_violation(verify_consistency(m, &old_root, n, &old_root, &path)));
            }
        }
    }
}

#[test]
fn seventy_thousand_leaves_have_the_root_of_another_implementation_and_proofs_from_tiles() {
    let size = 70_000;
    let mut frontier = Frontier::new();
    let mut tiles = Tiles(vec![Vec::new(); 3]);
    for n in 0..size {
        let leaf_hash = hash_leaf(format!("record {n}").as_bytes());
        tiles.0[0].push(leaf_hash);
        frontier.push_with(leaf_hash, |level, index, hash| {
            if level.is_multiple_of(8) {
                let level = &mut tiles.0[level as usize / 8];
                assert_eq!(level.len() as u64, index);
                level.push(*hash);
            }
        });
    }
    let root = frontier.root();
    assert_eq!(STANDARD.encode(root), "25Wlw4AqrnlkUtIrNNU+dJybwG++mtIplU2A2Oqj7hY=");
    for (level, hashes) in [(0, 70_000), (1, 273), (2, 1), (3, 0), (8, 0)] {
        assert_eq!(tile_level_hashes(size, level), hashes);
        assert_eq!(tiles.0.get(level as usize).map_or(0, Vec::len) as u64, hashes);
    }
    assert_eq!(root_at(&tiles, size).unwrap(), root);
    for index in (0..size).step_by(4999).chain([255, 256, 65_535, 65_536, size - 1]) {
        let path = inclusion_path(&tiles, index, size).unwrap();
        verify_inclusion(&tiles.0[0][index as usize], index, size, &path, &root).unwrap();
    }
    for old in [1, 255, 256, 257, 65_535, 65_536, 65_537, 69_999, size] {
        let path = consistency_path(&tiles, old, size).unwrap();
        let old_root = root_at(&tiles, old).unwrap();
        verify_consistency(old, &old_root, size, &root, &path).unwrap();
    }
}

#[test]
fn a_frontier_goes_on_from_its_peaks_as_if_never_stopped() {
    let definition = Definition::numbered(100);
    let mut frontier = Frontier::new();
    for size in 0..100_u64 {
        assert_eq!(frontier.peaks().len() as u32, size.count_ones());
        let mut kept = Frontier::from_peaks(size, frontier.peaks().to_vec()).unwrap();
        assert_eq!((kept.size(), kept.root()), (size, definition.root(size as usize)));
        let leaf = hash_leaf(&definition.leaves[size as usize]);
        frontier.push(leaf);
        kept.push(leaf);
        assert_eq!(kept, frontier);
    }
    let error = Frontier::from_peaks(3, vec![[0; 32]]).unwrap_err();
    assert_eq!(error.code(), Code::Corrupt);
}

#[test]
fn tile_spans_fold_into_the_nodes_between_tile_levels() {
    assert_eq!(tile_span(0, 5), TileSpan { level: 0, first: 5, count: 1 });
    assert_eq!(tile_span(3, 5), TileSpan { level: 0, first: 40, count: 8 });
    assert_eq!(tile_span(8, 5), TileSpan { level: 1, first: 5, count: 1 });
    assert_eq!(tile_span(15, 1), TileSpan { level: 1, first: 128, count: 128 });
    for count in [0, 3, 6] {
        assert!(perfect_root(&vec![[0; 32]; count]).is_err());
    }
}

/// The worked example of `docs/format/proof.md`.
fn example_leaf(commitment: Hash) -> Leaf {
    Leaf {
        kind: LeafKind::Record,
        seq: 3,
        collection: std::array::from_fn(|n| 0xa0 + n as u8),
        key: Some(b"e-1".to_vec()),
        revision: Some(1),
        prev_seq: None,
        time_us: 1_795_496_400_000_000,
        schema: Some(0),
        txn: None,
        actor: None,
        commit_alg: COMMITMENT_SHA256,
        commitment,
        body_len: 25,
    }
}

const EXAMPLE_LEAF: &str = "8e 01 01 03 50a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 43652d31 01 f6
    1b000660fe951e1400 00 f6 f6 01
    5820a35aba0b3f23551d4d4a5192ca67cba4ca5094fac7df09f3344b63ab96ef2bd4 1819";
const EXAMPLE_LEAF_HASH: &str = "14c8ebe2021a1adb9b8c88623e3fd2872bb11b4c2337e3f6e0c761d5c3d70b9c";

#[test]
fn the_documented_leaf_has_these_bytes() {
    let body = unhex("a264757365726275316c616d6f756e745f63656e74731904b0");
    let salt: [u8; 16] = std::array::from_fn(|n| n as u8);
    let leaf = example_leaf(commitment(&salt, &body));
    assert_eq!(hex(&leaf.encode()), hex(&unhex(EXAMPLE_LEAF)));
    assert_eq!(hex(&hash_leaf(&leaf.encode())), EXAMPLE_LEAF_HASH);
    assert_eq!(Leaf::decode(&unhex(EXAMPLE_LEAF)).unwrap(), leaf);

    leaf.as_ref().check_body(&salt, &body).unwrap();
    let mut other = salt;
    other[0] ^= 1;
    assert!(is_violation(leaf.as_ref().check_body(&other, &body)));
    assert!(is_violation(leaf.as_ref().check_body(&salt, &body[1..])));
    let newer = Leaf { commit_alg: 2, ..leaf };
    assert_eq!(newer.as_ref().check_body(&salt, &body).unwrap_err().code(), Code::Unsupported);
}

#[test]
fn the_documented_block_header_has_these_bytes() {
    let header = BlockHeader {
        id: 0,
        previous_hash: [0; 32],
        first_seq: 0,
        count: 1024,
        merkle_root: hash(EXAMPLE_LEAF_HASH),
        timestamp: 1_795_496_400_000_000,
    };
    let collection = std::array::from_fn(|n| 0xa0 + n as u8);
    let body = format!(
        "86 00 5820{} 00 190400 5820{EXAMPLE_LEAF_HASH} 1b000660fe951e1400",
        "00".repeat(32)
    );
    assert_eq!(hex(&header.body()), hex(&unhex(&body)));
    assert_eq!(BlockHeader::decode(&unhex(&body)).unwrap(), header);
    let leaf = unhex(
        "8e 01 02 190400 50a0a1a2a3a4a5a6a7a8a9aaabacadaeaf f6 f6 f6 1b000660fe951e1400 f6 f6 f6
         01 5820b7a6dd1ca0d4d7ac72cd4915318d3daab7607287fdebcfb1f53f3a7ba2d57890 1853",
    );
    assert_eq!(hex(&header.leaf(collection, 1024)), hex(&leaf));
    let expected = "d31c4df75a665f3bfcaba6297d73403223b636598a9799ed2ef86d5d4286c697";
    assert_eq!(hex(&header.hash(collection, 1024)), expected);
    decode_leaf(&leaf).unwrap().check_body(&header::HEADER_SALT, &header.body()).unwrap();
}

#[test]
fn a_leaf_with_fields_of_another_kind_is_refused() {
    let good = unhex(EXAMPLE_LEAF);
    for (what, at, length, replacement) in [
        ("a record without key", 21, 4, "f6"),
        ("a record without revision", 25, 1, "f6"),
        ("a record without schema", 36, 1, "f6"),
        ("a header with a key", 2, 1, "02"),
        ("an unknown kind", 2, 1, "06"),
        ("an older version", 1, 1, "00"),
        ("a text for a key", 21, 1, "63"),
        ("thirteen fields", 0, 1, "8d"),
        ("an indefinite array", 0, 1, "9f"),
        ("a longer head", 3, 1, "1803"),
        ("undefined for null", 26, 1, "f7"),
        ("a tagged time", 27, 0, "c1"),
        ("a byte behind", 76, 0, "00"),
    ] {
        let mut bytes = good.clone();
        bytes.splice(at..at + length, unhex(replacement));
        let error = decode_leaf(&bytes).unwrap_err();
        assert_eq!(error.code(), Code::IntegrityViolation, "{what}: {error}");
    }
    let mut newer = good.clone();
    newer[1] = 2;
    assert_eq!(decode_leaf(&newer).unwrap_err().code(), Code::Unsupported);
    for length in 0..good.len() {
        assert!(decode_leaf(&good[..length]).is_err());
    }
    assert_eq!(decode_leaf(&vec![0; 65_536]).unwrap_err().code(), Code::TooLarge);
}

fn any_leaf() -> impl Strategy<Value = Leaf> {
    let number = || prop_oneof![0..30_u64, 0..70_000_u64, any::<u64>()];
    let bytes = |length: usize| prop::collection::vec(any::<u8>(), 0..length);
    let place = (0..6_u8, number(), any::<[u8; 16]>(), any::<i64>());
    let record = (bytes(300), number(), prop::option::of(number()), number());
    let origin = (prop::option::of(bytes(40)), prop::option::of(".{0,20}"));
    let body = (any::<u8>(), any::<[u8; 32]>(), number());
    (place, record, origin, body).prop_map(|(place, record, (txn, actor), body)| {
        let kind = LeafKind::from_number(place.0).unwrap();
        let is_header = kind == LeafKind::BlockHeader;
        Leaf {
            kind,
            seq: place.1,
            collection: place.2,
            key: (!is_header).then_some(record.0),
            revision: (!is_header).then_some(record.1),
            prev_seq: record.2.filter(|_| !is_header),
            time_us: place.3,
            schema: (!is_header).then_some(record.3),
            txn: txn.filter(|_| !is_header),
            actor: actor.filter(|_| !is_header),
            commit_alg: body.0,
            commitment: body.1,
            body_len: body.2,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_leaf_has_one_encoding_and_it_reads_back(leaf in any_leaf()) {
        let bytes = leaf.encode();
        prop_assert_eq!(Leaf::decode(&bytes).unwrap(), leaf);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                if let Ok(other) = decode_leaf(&changed) {
                    prop_assert_eq!(other.to_owned().encode(), changed);
                }
            }
        }
    }

    #[test]
    fn a_header_has_one_encoding_and_it_reads_back(
        id in any::<u64>(),
        previous_hash in any::<[u8; 32]>(),
        first_seq in 0..1000_u64,
        count in any::<u64>(),
        merkle_root in any::<[u8; 32]>(),
        timestamp in any::<i64>(),
    ) {
        let header =
            BlockHeader { id, previous_hash, first_seq, count, merkle_root, timestamp };
        let body = header.body();
        prop_assert_eq!(BlockHeader::decode(&body).unwrap(), header.clone());
        let leaf = header.leaf([7; 16], 9);
        prop_assert_eq!(decode_leaf(&leaf).unwrap().time_us, timestamp);
        for at in 0..body.len() {
            prop_assert!(BlockHeader::decode(&body[..at]).is_err());
            for bit in 0..8 {
                let mut changed = body.clone();
                changed[at] ^= 1 << bit;
                if let Ok(other) = BlockHeader::decode(&changed) {
                    prop_assert_ne!(&other, &header);
                    prop_assert_eq!(other.body(), changed);
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = (decode_leaf(&bytes).is_ok(), BlockHeader::decode(&bytes).is_ok());
        if bytes.len() > 2 {
            bytes[..2].copy_from_slice(&[0x8e, 1]);
        }
        let _ = decode_leaf(&bytes);
    }
}

#[test]
fn a_source_that_fails_fails_the_path() {
    struct Broken;
    impl HashSource for Broken {
        fn node(&self, _: u8, _: u64) -> Result<Hash> {
            Err(Error::new(Code::StorageFailed, "no tile"))
        }
    }
    assert!(inclusion_path(&Broken, 1, 3).is_err());
    assert!(consistency_path(&Broken, 1, 3).is_err());
    assert!(root_at(&Broken, 3).is_err());
    assert_eq!(root_at(&Broken, 0).unwrap(), empty_root());
}
