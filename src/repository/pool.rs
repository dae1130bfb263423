//! Runs tasks on several threads and collects the results on one.

use std::thread;

use crossbeam_channel::bounded;

use super::{Error, Result};

/// Runs `work` for every task on this many threads, and gives each result to `each`, in any order.
/// At most one task and one result per thread are in memory. Stops early if `each` fails or a task
/// is an error.
pub(crate) fn run<T: Send, R: Send>(
    workers: usize,
    tasks: impl Iterator<Item = Result<T>>,
    work: impl Fn(T) -> R + Sync,
    mut each: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let workers = workers.max(1);
    thread::scope(|scope| {
        let (task_sender, task_receiver) = bounded(workers);
        let (result_sender, result_receiver) = bounded(workers);
        for _ in 0..workers {
            let (tasks, results, work) = (task_receiver.clone(), result_sender.clone(), &work);
            scope.spawn(move || {
                for task in tasks {
                    // The receiver is gone: the run stopped early.
                    if results.send(work(task)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((task_receiver, result_sender));
        let ended = || Error::Worker("all of them");
        let mut open = 0;
        for task in tasks {
            if open == workers {
                each(result_receiver.recv().map_err(|_| ended())?)?;
                open -= 1;
            }
            task_sender.send(task?).map_err(|_| ended())?;
            open += 1;
        }
        drop(task_sender);
        result_receiver.into_iter().try_for_each(each)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(count: u32) -> impl Iterator<Item = Result<u32>> {
        (0..count).map(Ok)
    }

    #[test]
    fn every_task_is_done_once() {
        for workers in [0, 1, 3, 50] {
            let mut done = Vec::new();
            let each = |number: u32| {
                done.push(number);
                Ok(())
            };
            run(workers, tasks(20), |number| number * 2, each).unwrap();
            done.sort_unstable();
            let expected: Vec<u32> = (0..20).map(|number| number * 2).collect();
            assert_eq!(done, expected, "{workers}");
        }
    }

    #[test]
    fn a_failure_ends_it() {
        let failed = || Err(Error::Worker("test"));
        run(2, tasks(1000), |number| number, |_| failed()).unwrap_err();
        let broken = tasks(3).chain(std::iter::once_with(|| Err(Error::Worker("test"))));
        run(2, broken, |number| number, |_| Ok(())).unwrap_err();
    }
}
