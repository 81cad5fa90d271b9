"""Units: energies in MeV, lengths in mm, as in Geant4 and CLHEP.

Multiply to enter, divide to leave.
"""

MeV = 1.0
keV = 1e-3 * MeV  # noqa: N816
GeV = 1e3 * MeV
mm = 1.0
cm = 10.0 * mm
