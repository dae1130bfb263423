//! The installation that the benches are run on is one that a server could have made.

#[allow(dead_code, reason = "benches use the rest")]
#[path = "../../benches/support/synthetic.rs"]
pub mod generator;

use crate::cli::User;
use crate::support::{Source, World};

#[test]
fn it_is_whole_and_has_as_many_objects_as_it_says() {
    let (example, grown) = (Source::example(), Source::example());
    let size = generator::Size {
        libraries: 3,
        files: 25,
        folder: 10,
        mean_len: 4000,
        blocks: 0,
        commits: 0,
    };
    let made = generator::grow(&grown.path, size, 7);
    // Files and blocks, three folders and their root, two commits.
    assert_eq!(made, 3 * (2 * 25 + 4 + 2));
    let stored = |source: &Source| World::local().backup(source).totals.objects;
    assert_eq!(stored(&grown), stored(&example) + made);
    let user = User::new();
    let verify = ["verify", grown.path.to_str().unwrap()];
    user.run(&verify).succeeds();
    // A file of ten: three new files a library, three folders, root and commit; the second one has new times only.
    let changed = generator::change(&grown.path, 10, 4000, 8);
    assert_eq!(changed, 3 * (2 * 3 + 4 + 1));
    assert_eq!(stored(&grown), stored(&example) + made + changed);
    user.run(&verify).succeeds();
}
