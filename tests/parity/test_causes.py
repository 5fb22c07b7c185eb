"""The identifiers that a report may use."""

from __future__ import annotations

from stylexport.parity.explain.causes import CAUSES, ORDER

ISSUED = (
    "kernel_flipped kernel_transposed_hw in_out_swapped padding bn_epsilon norm_epsilon norm_groups bn_moments_swapped bn_affine_swapped "
    "activation leaky_slope pooling resizing gain bias_missing style_plus_one_missing noise fir_filter residual_scale demodulation "
    "lr_multiplier mbstd label_order logits_for_probabilities channel_order input_range parameter_place number_of_calls "
    "weight_value unknown "
    "gate_order reset_gate update_gate forget_bias direction attention"
).split()


def test_the_table_holds_every_published_identifier_and_no_other() -> None:
    assert sorted(CAUSES) == sorted(ISSUED)


def test_every_cause_says_what_it_means_and_what_to_do() -> None:
    for name, cause in CAUSES.items():
        assert cause.name == name
        assert len(cause.meaning.split()) > 4
        assert len(cause.remedy.split()) > 3


def test_replacing_tensors_is_the_last_resort_before_unknown() -> None:
    assert list(ORDER)[-2:] == ["weight_value", "unknown"]
