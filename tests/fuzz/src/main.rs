//! Writes the seeds of every target to `corpus/`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(here.join("fuzz_targets"))? {
        let path = entry?.path();
        let target = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = here.join("corpus").join(&target);
        fs::create_dir_all(&folder)?;
        let seeds = strandline_fuzz::seeds::of(&target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for (i, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{i:02}")), seed)?;
        }
    }
    Ok(())
}
