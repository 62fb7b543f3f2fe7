//! Is a file in memory, and is its name? On a simulated machine as the seed says: what a kernel happens to keep differs from
//! run to run.

use std::cell::Cell;

use super::choice::{Choices, Kind};

#[derive(Clone, Copy)]
struct Machine {
    world: usize,
    choices: Choices,
    per_mille: u16,
    asked: u64,
}

thread_local! {
    static HERE: Cell<Option<Machine>> = const { Cell::new(None) };
}

/// This thread is on a world's machine from now on, where so many of a thousand looks find that something is not in memory.
pub(super) fn enter(world: usize, choices: Choices, per_mille: u16) {
    let asked = HERE.get().filter(|machine| machine.world == world).map_or(0, |machine| machine.asked);
    HERE.set(Some(Machine { world, choices, per_mille, asked }));
}

/// That world has ended.
pub(super) fn leave(world: usize) {
    if HERE.get().is_some_and(|machine| machine.world == world) {
        HERE.set(None);
    }
}

/// Whether this look finds that something is not in memory; `None` on a real machine, where the kernel is to be asked.
#[inline]
pub(crate) fn is_cold() -> Option<bool> {
    let mut machine = HERE.get()?;
    machine.asked += 1;
    HERE.set(Some(machine));
    Some(machine.choices.happens(Kind::Cold, machine.per_mille, 0, machine.asked))
}

#[cfg(test)]
mod tests {
    use crate::file::{Dir, File, Resolve};
    use crate::sim::{Faults, Personality, World};

    #[test]
    fn on_a_simulated_machine_the_seed_says_what_is_in_memory_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("anygate-memory-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), "content").unwrap();
        let (dir, file) = (Dir::open(&folder).unwrap(), File::open(folder.join("file")).unwrap());
        let look = || {
            let cached = Resolve { cached: true, ..Resolve::default() };
            (dir.open_beneath("file", cached).is_ok(), file.is_in_memory(0, 7).ok())
        };
        let looks = |seed, cold_file| {
            let world = World::new(seed, Personality::Readiness);
            world.set_faults(Faults { cold_file, ..Faults::none() });
            std::array::from_fn::<_, 40, _>(|_| look())
        };
        assert_eq!(looks(1, 0), [(true, Some(true)); 40]);
        assert_eq!(looks(1, 1000), [(false, Some(false)); 40]);
        assert_eq!(looks(1, 500), looks(1, 500));
        assert_ne!(looks(1, 500), looks(2, 500));
        assert_eq!(super::is_cold(), None, "the worlds have ended");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
