"""How wide a human chest is: a spacing that makes it wider or narrower is wrong.

Adults: the transverse thoracic diameter on frontal films is 25.1 to 29.6 cm on average, by sex and age (Obikili & Okoye
2006, West Afr J Med 25:186; 303 persons of 20 to 93 years). Limits half as much above and a third below leave room for
broad and slender people, magnification on the detector, and partly outlined lungs. Children: at six years the lungs
have two thirds of the adult width (Simon, Reid, Tanner, Goldstein & Benjamin 1972, Arch Dis Child 47:373); newborns of
low birth weight have chests of less than 29.5 cm circumference, so 9.4 cm across (Trunk anthropometry of Hong Kong
Chinese infants 2005, Early Hum Dev 81:781; from 24 weeks on), and about half of that bounds the smallest.
"""

from __future__ import annotations

ADULT_YEARS = 16.0
"""From this age on, the limits for adults apply."""

ADULT_MM = (170.0, 450.0)
"""Chest widths of adults."""

ANYBODY_MM = (50.0, 450.0)
"""Chest widths of children and of people of unknown age."""


def doubt_spacing(thorax_mm: float, years: float | None) -> str | None:
    """Why a film's spacing cannot be right; `None` if it can.

    Args:
        thorax_mm: greatest inner width of the chest, 0 if no chest was found.
        years: age of the patient, where known.
    """
    adult = years is not None and years >= ADULT_YEARS
    low, high = ADULT_MM if adult else ANYBODY_MM
    if not thorax_mm or low <= thorax_mm <= high:
        return None
    who = "an adult's" if adult else "a person's"
    return (
        f"the thorax would be {thorax_mm:.0f} mm wide, which is not {who}: the spacing looks wrong, mm and cm2 withheld"
    )
