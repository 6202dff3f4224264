//! Any sequence of calls answers like a plain map with a history.

use blockdb_tests::simulation::campaign::{Campaign, Name};
use blockdb_tests::simulation::{mixed, walk};

const STEPS_PER_WALK: u64 = 200;

#[test]
fn random_walks_agree_with_a_plain_model() {
    let test = "random_walks_agree_with_a_plain_model";
    Campaign::begin("model", test, 600).rounds(|campaign, seed| {
        let walks: Vec<u64> = match campaign.step {
            Some(step) => vec![step],
            None => (0..campaign.cases).collect(),
        };
        campaign.each(&walks, |number| {
            let name = Name { seed, workload: "walk".to_owned(), step: Some(*number), crash: None };
            campaign.case(&name, || {
                walk::walk(mixed(seed, *number), STEPS_PER_WALK)
                    .map(|()| 1)
                    .map_err(|what| format!("walk {number} of seed {seed}: {what}"))
            });
        });
    });
}
