//! Damaged pages of Seafile's own database, as a file: one of them must not keep everything else out of a backup.

use std::fs;
use std::os::unix::fs::FileExt as _;

use crate::cli::User;
use crate::support::{Source, files_below};

/// Overwrites the first page of a table.
fn damage(source: &Source, table: &str) {
    let page = format!("SELECT CAST(rootpage AS TEXT) FROM sqlite_schema WHERE name = '{table}'");
    let page: u64 = source.query(&page).parse().unwrap();
    let bytes: u64 =
        source.query("SELECT CAST(page_size AS TEXT) FROM pragma_page_size").parse().unwrap();
    assert!(page > 1, "that is the schema");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(source.path.join("seafile-data/seafile.db"))
        .unwrap();
    file.write_all_at(&vec![0x55; bytes as usize], (page - 1) * bytes).unwrap();
}

#[test]
fn a_damaged_table_costs_what_it_says_and_nothing_else() {
    for table in ["Repo", "Branch", "RepoOwner", "VirtualRepo", "RepoTrash"] {
        let (source, user) = (Source::example(), User::new());
        damage(&source, table);
        let ran = user.backup(&source.path);
        ran.fails(3, &["database seafile"]);
        let told = format!("the table {table} cannot be read");
        assert!(ran.stderr.contains(&told), "{table}: {}", ran.stderr);
        assert!(!ran.stdout.contains("proved "), "{}", ran.stdout);
        let snapshots = user.run(&["snapshots"]).stdout;
        assert!(snapshots.contains("database-damaged"), "{snapshots}");
        assert!(snapshots.contains("rows-unreadable"), "{snapshots}");
        let target = user.path("restored");
        user.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
        let mut missing = files_below(&source.path.join("seafile-data/storage"));
        missing.retain(|file| {
            let inside = file.strip_prefix(&source.path).unwrap();
            !target.join(inside).is_file()
        });
        // Without the branches all that lies on disk is taken.
        let most = if table == "Branch" { 0 } else { 40 };
        assert!(missing.len() <= most, "{table}: {missing:?}");
        let doctor = user.run(&["doctor", source.path.to_str().unwrap()]);
        assert!(doctor.stdout.contains(&told), "{}", doctor.stdout);
        assert_eq!(doctor.status, 3);
        let verify = user.run(&["verify", source.path.to_str().unwrap()]);
        assert_eq!(verify.status, 3, "{}", verify.stdout);
    }
}
