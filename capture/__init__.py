"""From photons, cables and paper to pictures. Nothing here knows what a hospital is."""
