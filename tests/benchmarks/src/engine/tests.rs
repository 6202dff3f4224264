//! Every adapter does what the trait says; a benchmark of an engine that loses or invents records
//! would be worth nothing.

use super::*;
use crate::data::{self, Order};
use clap::ValueEnum;

const SETTINGS: Settings = Settings { memory_bytes: 64 << 20, readers: 1 };

fn values(engine: &dyn Engine, start: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    let mut reader = engine.reader().unwrap();
    reader.scan(start, limit, &mut |value| seen.push(value.to_vec())).unwrap();
    seen
}

#[test]
fn what_is_written_in_any_way_is_read_back_in_order_also_after_reopening() {
    for kind in Kind::value_variants() {
        let dir = tempfile::tempdir().unwrap();
        let items: Vec<Item> = (0..3_000).map(|index| data::item(Order::Time, index)).collect();
        let engine = kind.open(dir.path(), &SETTINGS).unwrap();
        engine.put_durable(&items[0]).unwrap();
        engine.put_batch_durable(&items[1..100]).unwrap();
        engine.ingest(&mut items[100..].iter().cloned()).unwrap();
        engine.finish().unwrap();
        engine.close().unwrap();

        let engine = kind.open(dir.path(), &SETTINGS).unwrap();
        let all = values(&*engine, b"", usize::MAX);
        assert_eq!(all.len(), items.len(), "{}", kind.name());
        assert!(all.iter().zip(&items).all(|(seen, item)| *seen == item.value));
        let some = values(&*engine, &items[500].key, 7);
        assert_eq!((some.len(), &some[0][..]), (7, &items[500].value[..]), "{}", kind.name());

        let mut seen = Vec::new();
        let mut reader = engine.reader().unwrap();
        assert!(reader.get(&items[2_999].key, &mut |value| seen.extend_from_slice(value)).unwrap());
        assert_eq!(seen, items[2_999].value);
        assert!(!reader.get(b"no-such-key-here", &mut |_| panic!("visited")).unwrap());
        drop(reader);
        engine.close().unwrap();
        kind.verify(dir.path(), &SETTINGS).unwrap();
    }
}

#[test]
fn engines_that_check_for_duplicates_refuse_them() {
    for kind in Kind::value_variants() {
        let checks = !matches!(kind, Kind::Rocksdb | Kind::Fjall);
        let dir = tempfile::tempdir().unwrap();
        let engine = kind.open(dir.path(), &SETTINGS).unwrap();
        let item = data::item(Order::Random, 1);
        engine.put_durable(&item).unwrap();
        assert_eq!(engine.put_durable(&item).is_err(), checks, "{}", kind.name());
        let pair = [data::item(Order::Random, 2), item];
        assert_eq!(engine.put_batch_durable(&pair).is_err(), checks, "{}", kind.name());
        engine.close().unwrap();
    }
}
