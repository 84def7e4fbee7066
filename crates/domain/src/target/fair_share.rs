//! Fair sharing of a worker's room between projects, and between the tasks of a project.

/// Claim on the places of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Number of places that the claimant holds already.
    pub held: u32,
    /// Number of further places that it can use.
    pub wanted: u32,
}

/// Claim of a task on the places of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskClaim<P> {
    /// Project of the task.
    pub project: P,
    /// Number of places that all tasks of the project hold already.
    pub held_by_project: u32,
    /// Claim of the task itself.
    pub own: Claim,
}

/// Part of a worker's places, as a divisor, that is reserved for projects with few of them. As many
/// are reserved for tasks with few of them.
const RESERVED_PART: u32 = 40;
/// Maximum number of places of each reserve.
const MAX_RESERVED: u32 = 250;

/// Returns the number of places, out of `capacity`, that are reserved for projects that hold fewer
/// than this number. As many are reserved for tasks that do. So an urgent task does not wait until
/// the scripts of a large one end. A worker with fewer than 40 places reserves none.
pub fn reserved(capacity: u32) -> u32 {
    (capacity / RESERVED_PART).min(MAX_RESERVED)
}

/// Distributes `room` free places of a worker with `capacity` places. Returns the number for each
/// task, in order.
///
/// Projects share first, and then the tasks of a project; see [`shares`]. The [`reserved`] places
/// go only to tasks and projects that hold few places, and otherwise stay free.
pub fn task_shares<P: PartialEq>(room: u32, capacity: u32, tasks: &[TaskClaim<P>]) -> Vec<u32> {
    let reserved = reserved(capacity);
    let mut given = vec![0; tasks.len()];
    for stage in Stage::all(reserved) {
        let left = room.saturating_sub(stage.kept).saturating_sub(given.iter().sum::<u32>());
        let more = stage.shares(left, tasks, &given);
        given.iter_mut().zip(more).for_each(|(given, more)| *given += more);
    }
    given
}

/// A stage of the distribution of a worker's places.
struct Stage {
    /// Number of places that the stage keeps for later stages.
    kept: u32,
    /// Number of places up to which a task is served.
    most_by_task: u32,
    /// Number of places up to which a project is served.
    most_by_project: u32,
}

impl Stage {
    /// Returns the stages in order: everyone, small tasks, small projects.
    const fn all(reserved: u32) -> [Self; 3] {
        [
            Self { kept: 2 * reserved, most_by_task: u32::MAX, most_by_project: u32::MAX },
            Self { kept: reserved, most_by_task: reserved, most_by_project: u32::MAX },
            Self { kept: 0, most_by_task: u32::MAX, most_by_project: reserved },
        ]
    }

    /// Distributes `room` places among tasks that were `given` some in earlier stages.
    fn shares<P: PartialEq>(&self, room: u32, tasks: &[TaskClaim<P>], given: &[u32]) -> Vec<u32> {
        let mut projects: Vec<(&P, Claim)> = Vec::new();
        let mut claims = Vec::with_capacity(tasks.len());
        for (task, &given) in tasks.iter().zip(given) {
            let claim = task.own.after(given).up_to(self.most_by_task);
            claims.push(claim);
            match projects.iter_mut().find(|(project, _)| **project == task.project) {
                Some((_, of_project)) => {
                    of_project.held = of_project.held.saturating_add(given);
                    of_project.wanted = of_project.wanted.saturating_add(claim.wanted);
                }
                None => {
                    let held = task.held_by_project.saturating_add(given);
                    projects.push((&task.project, Claim { held, wanted: claim.wanted }));
                }
            }
        }
        let of_projects: Vec<Claim> =
            projects.iter().map(|(_, claim)| claim.up_to(self.most_by_project)).collect();
        let mut result = vec![0; tasks.len()];
        for ((project, _), room) in projects.iter().zip(shares(room, &of_projects)) {
            let places: Vec<usize> = (0..tasks.len()).filter(|&at| tasks[at].project == **project).collect();
            let of_tasks: Vec<Claim> = places.iter().map(|&at| claims[at]).collect();
            for (at, share) in places.into_iter().zip(shares(room, &of_tasks)) {
                result[at] = share;
            }
        }
        result
    }
}

impl Claim {
    /// Returns the claim after `given` places were granted.
    const fn after(self, given: u32) -> Self {
        Self { held: self.held.saturating_add(given), wanted: self.wanted.saturating_sub(given) }
    }

    /// Limits the claim to `most` places in all.
    fn up_to(self, most: u32) -> Self {
        Self { wanted: self.wanted.min(most.saturating_sub(self.held)), ..self }
    }
}

/// Distributes `room` places. Returns the number for each claim, in order.
///
/// The claimant that holds the fewest places is served first. No claimant gets more than another
/// one holds while that one still wants places. Only the last places go by the order of the claims.
/// All places are used if enough are wanted.
pub fn shares(room: u32, claims: &[Claim]) -> Vec<u32> {
    let given = |level: u32| -> Vec<u32> {
        claims.iter().map(|claim| level.saturating_sub(claim.held).min(claim.wanted)).collect()
    };
    let total = |level: u32| -> u64 { given(level).into_iter().map(u64::from).sum() };
    // The highest common level that the room allows.
    let (mut fits, mut too_high) = (0, u32::MAX);
    while too_high - fits > 1 {
        let level = fits + (too_high - fits) / 2;
        if total(level) <= u64::from(room) { fits = level } else { too_high = level }
    }
    let mut shares = given(fits);
    let mut left = u64::from(room).saturating_sub(total(fits));
    for (share, claim) in shares.iter_mut().zip(claims) {
        if left > 0 && *share < claim.wanted && claim.held.saturating_add(*share) <= fits {
            *share += 1;
            left -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(room: u32, claims: &[(u32, u32)]) -> Vec<u32> {
        let claims: Vec<Claim> = claims.iter().map(|&(held, wanted)| Claim { held, wanted }).collect();
        shares(room, &claims)
    }

    #[test]
    fn claimant_with_fewest_places_is_served_first() {
        assert_eq!(of(10, &[(0, 100)]), [10]);
        assert_eq!(of(10, &[(0, 100), (0, 100)]), [5, 5]);
        assert_eq!(of(10, &[(0, 100), (0, 2)]), [8, 2]);
        assert_eq!(of(1, &[(9_999, 90_000), (0, 1)]), [0, 1]);
        assert_eq!(of(10, &[(8, 100), (0, 100)]), [1, 9]);
        assert_eq!(of(5, &[(3, 1), (3, 1), (3, 9)]), [1, 1, 3]);
        assert_eq!(of(2, &[(0, 5), (0, 5), (0, 5)]), [1, 1, 0], "the last places go by order");
        assert_eq!(of(0, &[(0, 5)]), [0]);
        assert_eq!(of(5, &[]), [] as [u32; 0]);
    }

    /// A task of a project, with the places of both and the places that the task wants.
    fn task(project: &str, held_by_project: u32, held: u32, wanted: u32) -> TaskClaim<&str> {
        TaskClaim { project, held_by_project, own: Claim { held, wanted } }
    }

    #[test]
    fn large_task_leaves_the_reserved_places_free() {
        assert_eq!(task_shares(1_000, 1_000, &[task("a", 0, 0, 5_000)]), [950]);
        assert_eq!(task_shares(50, 1_000, &[task("a", 950, 950, 5_000)]), [0]);
        assert_eq!(task_shares(60, 1_000, &[task("a", 940, 940, 5_000)]), [10]);
        assert_eq!(task_shares(30, 30, &[task("a", 0, 0, 5_000)]), [30], "too few places to reserve any");
        assert_eq!(reserved(10_000_000), MAX_RESERVED);
    }

    #[test]
    fn small_task_and_small_project_find_reserved_places() {
        let large = task("a", 950, 950, 5_000);
        assert_eq!(task_shares(50, 1_000, &[large, task("a", 950, 0, 1)]), [0, 1]);
        assert_eq!(task_shares(50, 1_000, &[large, task("a", 950, 0, 100)]), [0, 25]);
        // Many small tasks of one project leave places for another project.
        let small = task("a", 975, 0, 10);
        assert_eq!(task_shares(25, 1_000, &[small, task("b", 0, 0, 100)]), [0, 25]);
        assert_eq!(task_shares(25, 1_000, &[small]), [0]);
    }

    #[test]
    fn projects_share_first_and_then_their_tasks() {
        let tasks = [task("a", 0, 0, 100), task("a", 0, 0, 100), task("b", 0, 0, 100)];
        assert_eq!(task_shares(30, 30, &tasks), [8, 7, 15]);
    }

    proptest! {
        #[test]
        fn only_reserved_places_stay_free(
            room in 0u32..1_000,
            tasks in prop::collection::vec((0u8..4, 0u32..300, 0u32..300), 1..12),
        ) {
            let held_by = |project: u8| tasks.iter().filter(|task| task.0 == project).map(|task| task.1).sum();
            let claims: Vec<_> = tasks
                .iter()
                .map(|&(project, held, wanted)| TaskClaim {
                    project,
                    held_by_project: held_by(project),
                    own: Claim { held, wanted },
                })
                .collect();
            let given = task_shares(room, 1_000, &claims);
            let (total, wanted): (u32, u32) = (given.iter().sum(), tasks.iter().map(|task| task.2).sum());
            prop_assert!(total <= room);
            prop_assert!(total >= wanted.min(room.saturating_sub(2 * reserved(1_000))));
            for (&given, task) in given.iter().zip(&tasks) {
                prop_assert!(given <= task.2);
            }
        }

        #[test]
        fn all_places_are_used_and_nobody_is_ahead(
            room in 0u32..500,
            claims in prop::collection::vec((0u32..300, 0u32..300), 1..12),
        ) {
            let shares = of(room, &claims);
            let wanted: u32 = claims.iter().map(|claim| claim.1).sum();
            prop_assert_eq!(shares.iter().sum::<u32>(), room.min(wanted));
            for (&(held, wanted), &share) in claims.iter().zip(&shares) {
                prop_assert!(share <= wanted);
                for (&(other_held, other_wanted), &other) in claims.iter().zip(&shares) {
                    let is_ahead = share > 0 && held + share > other_held + other + 1;
                    prop_assert!(!is_ahead || other == other_wanted, "{:?} {:?}", claims, shares);
                }
            }
        }
    }
}
