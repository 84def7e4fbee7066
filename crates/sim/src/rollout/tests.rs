use super::*;

#[test]
fn seeds() {
    for seed in 0..300 {
        if let Err(broken) = run(seed) {
            panic!("{broken}");
        }
    }
}
