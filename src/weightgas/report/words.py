"""The standing texts of a report: what the levels mean, what they cannot say, and what the symbols are."""

from __future__ import annotations

LEVELS = {
    1: ("Stationarity", "Do radius and energy still drift, and over how many independent samples are they averaged?"),
    2: ("Bookkeeping", "Identities of any stationary run: a failure is a bug or a short run, a success says nothing."),
    3: ("Evidence", "Checks that can fail, and do for gases that are not ideal. Only these answer the question."),
}

LEVEL_TWO = (
    "What level 2 cannot say. The state equation pV = RT, the radius law and the Maxwell relations are the balance of "
    "the squared norm of the weights, written in the words of a gas: every stationary run obeys them, whatever the "
    "noise and whatever the loss. Z = pV/(RT) is a signal-to-noise ratio, (1 + ‖∇L‖²/tr Σ)/(1 − ηλ/2). The Maxwell "
    "slopes hold for any entropy of the direction that depends on the run through ηₑ alone: one that is twice too "
    "steep passes as well. So these checks find a bug or a run that is too short, and a run that passes them may "
    "still be no ideal gas.",
    "What could say no. The fluctuations of the energy must equal the response of its mean to the temperature, "
    "Var U/T² = dU/dT; and between two temperatures the density of the energies must change by the factor "
    "exp(U(1/T₁ − 1/T₂)), the Gibbs slope. Null gases with known noise stand beside the verdicts to show that these "
    "two do fail where they should. The minimum of the thermodynamic potentials lies between the levels: it has power "
    "with an entropy that was measured, none with one that was integrated along temperature, which assumes a Gibbs "
    "state.",
)

YES_NO = (
    "yes: no further from its expectation than the tolerance allows, with an error so small that a no was possible. "
    "no: further off than the tolerance by more than three standard errors. undecided: the errors are too large to "
    "say."
)

GLOSSARY = (
    ("w, d", "weights of the scale-invariant groups, their number"),
    ("r, w̄", "norm and direction of the weights, w = r w̄"),
    ("η, λ", "learning rate; weight decay, coupled as in torch.optim.SGD (gradient + λw)"),
    ("ηₑ = η/r²", "effective learning rate"),
    ("L, U", "training loss, and its mean in the stationary state (energy)"),
    ("tr Σ, σ²", "trace of the covariance of the mini-batch gradient on the unit sphere; per degree of freedom"),
    ("G = tr Σ + ‖∇L‖²", "second moment of that gradient: what the radius feels"),
    ("T = ηₑσ²/2", "temperature"),
    ("p, V = r²/2", "pressure (the weight decay, or measured on the sphere) and volume"),
    ("R", "gas constant: half the degrees of freedom, (d − 1)/2 for one group"),
    ("Z = pV/(RT)", "compressibility, 1 for an ideal gas"),
    ("S, S(w̄)", "entropy of the weights and of their direction, in nats; S = S(w̄) + 2R ⟨ln r⟩"),
    ("F = U − TS, 𝒢 = U − TS + pV", "Helmholtz and Gibbs potentials"),
    ("fixed sphere", "ηₑ and r held (so T and V): the pressure is measured"),
    ("fixed ELR", "ηₑ and λ held (so T and p): the volume settles"),
    ("fixed LR", "η and λ held, ordinary SGD: pressure held, the temperature follows the radius"),
    ("SDE", "prediction in continuous time, for vanishing steps"),
    ("±", "one standard error, from the effective number of independent samples"),
)
