//! Sans-IO core of the gateway: frames, SQL analysis, masking, session state.
