//! What configurations may name: the kinds that the rooms bring along.

use std::path::Path;

use ironmaster_config::Loaded;
use ironmaster_model::Catalogue;

use crate::failure::{Failure, colors};

/// All kinds of steps and change sources.
pub(crate) fn catalogue() -> Catalogue {
    Catalogue {
        steps: ironmaster_steps::step_kinds(),
        change_sources: ironmaster_changes::change_source_kinds(),
    }
}

/// Reads a configuration; warnings go to standard error.
pub(crate) fn load(config: &Path) -> Result<Loaded, Failure> {
    let loaded = ironmaster_config::load(config, &catalogue()).map_err(Failure::Config)?;
    if !loaded.warnings.is_empty() {
        eprint!("{}", loaded.warnings.render(colors()));
    }
    Ok(loaded)
}
