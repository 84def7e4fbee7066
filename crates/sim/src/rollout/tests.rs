use super::*;

#[test]
fn sabotage() {
    for sabotage in Sabotage::ALL {
        let begun = std::time::Instant::now();
        let caught = (0..400).find_map(|seed| run_scenario(&Scenario::drawn(seed), Some(sabotage)).err());
        match caught {
            Some(b) => println!("{sabotage:?}: seed {} {} ({:?})", b.seed, b.promise, begun.elapsed()),
            None => println!("{sabotage:?}: NOT CAUGHT ({:?})", begun.elapsed()),
        }
    }
}
